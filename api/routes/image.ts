import { z } from 'zod';
import type { Clock } from '../../common/clock.ts';
import { refuseRunningVolume } from '../../common/operations/volume-use.ts';
import { volumeText } from '../../common/schema/volume.ts';
import type { ApiMirror } from '../cluster.ts';
import { imageBody } from '../image-body.ts';
import { sendImage } from '../image-reply.ts';
import { optionalInteger, text } from '../params/values.ts';
import { done, messageReply, route, type Route } from '../route.ts';
import type { ImageStorage } from '../storage/storage-cluster.ts';
import { pool, snapshot, volume } from './storage-values.ts';

export interface ImageRouteDeps {
  mirror: ApiMirror;
  images: ImageStorage;
  clock: Clock;
}

const format = z.enum(['raw'], 'must be raw; make another image so first: qemu-img convert -O raw IMAGE IMAGE.raw');
const BYTES = { code: 200, type: 'application/octet-stream', schema: z.unknown(), description: 'The bytes, with zeros where nothing was written. A failure in the middle breaks the connection.' };

/** Images in and out of volumes, without limits of size and time. */
export function imageRoutes(deps: ImageRouteDeps): Route[] {
  return [uploadRoute(deps), ...downloadRoutes(deps)];
}

function uploadRoute({ mirror, images, clock }: ImageRouteDeps): Route {
  return route({
    method: 'POST',
    path: '/storage/ceph/volume/:pool/:volume/upload',
    summary: 'Write an image into a volume',
    description:
      'The volume must be there, large enough, and open to nobody; nobody else can write to it meanwhile. What it has beyond the end of the image stays. Values stand in the query. With Expect: 100-continue a refusal comes before the image is sent. The reply comes when all is written; after a failure in the middle the volume has a part of the image.',
    body: 'image',
    values: z.object({
      pool,
      volume,
      image_format: text(format, 'Only raw.'),
      file_size: optionalInteger({ min: 1, max: Number.MAX_SAFE_INTEGER }, 'Size of the image in bytes; needed in a form, and without Content-Length.'),
    }),
    reply: { code: 200, schema: messageReply },
    handle: async ({ pool: ofPool, volume: name, file_size: fileSizeBytes }, { request, response }) => {
      const ref = { pool: ofPool, volume: name };
      const image = imageBody(request, response, { fileSizeBytes, clock });
      refuseRunningVolume(mirror, ref);
      await images.write(ref, image);
      return done(`volume ${volumeText(ref)} has the image of ${image.sizeBytes} bytes`);
    },
  });
}

function downloadRoutes({ images, clock }: ImageRouteDeps): Route[] {
  return [
    route({
      method: 'GET',
      path: '/storage/ceph/volume/:pool/:volume/download',
      summary: 'Read the contents of a volume',
      description: 'As a raw image. While a guest writes to the volume it is no state that the volume ever had: take a snapshot and read that.',
      values: z.object({ pool, volume }),
      reply: BYTES,
      handle: async (values, call) => sendImage(call, await images.read(values), clock),
    }),
    route({
      method: 'GET',
      path: '/storage/ceph/volume/snapshot/:pool/:volume/:snapshot/download',
      pathAliases: ['/storage/ceph/snapshot/:pool/:volume/:snapshot/download'],
      summary: 'Read what a volume had when a snapshot was made',
      description: 'As a raw image.',
      values: z.object({ pool, volume, snapshot }),
      reply: BYTES,
      handle: async (values, call) => sendImage(call, await images.read(values), clock),
    }),
  ];
}
