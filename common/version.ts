/** Version of this software, the same as in package.json; a test holds the two together. */
export const PVC_VERSION = '0.1.0';
