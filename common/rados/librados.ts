import { NativeLibrary } from './native-library.ts';

/**
 * Functions of librados by their own names, without the prefix; see its librados.h. Checked against 16.2, whose ABI (librados.so.2) is that of all later
 * releases. Results below 0 are negative errno values.
 */
export function loadLibrados() {
  const library = new NativeLibrary('librados.so.2');
  return { ...clusterFunctions(library), ...objectFunctions(library), ...operationFunctions(library) };
}

export type Librados = ReturnType<typeof loadLibrados>;

function clusterFunctions(library: NativeLibrary) {
  const command = ['void *', 'size_t', 'void *', 'size_t', 'void *', 'void *', 'void *', 'void *'] as const;
  return {
    version: library.nothing('rados_version', 'void *', 'void *', 'void *'),
    create2: library.int('rados_create2', 'void *', 'str', 'str', 'uint64_t'),
    confReadFile: library.int('rados_conf_read_file', 'void *', 'str'),
    confSet: library.int('rados_conf_set', 'void *', 'str', 'str'),
    confGet: library.int('rados_conf_get', 'void *', 'str', 'void *', 'size_t'),
    connect: library.int('rados_connect', 'void *'),
    shutdown: library.nothing('rados_shutdown', 'void *'),
    fsid: library.int('rados_cluster_fsid', 'void *', 'void *', 'size_t'),
    statistics: library.int('rados_cluster_stat', 'void *', 'void *'),
    instanceId: library.wide('rados_get_instance_id', 'void *'),
    waitForLatestMap: library.int('rados_wait_for_latest_osdmap', 'void *'),
    addresses: library.int('rados_getaddrs', 'void *', 'void *'),
    bufferFree: library.nothing('rados_buffer_free', 'void *'),
    monCommand: library.int('rados_mon_command', 'void *', ...command),
    mgrCommand: library.int('rados_mgr_command', 'void *', ...command),
    osdCommand: library.int('rados_osd_command', 'void *', 'int', ...command),
    poolList: library.int('rados_pool_list', 'void *', 'void *', 'size_t'),
    poolLookup: library.number('rados_pool_lookup', 'void *', 'str'),
    poolCreate: library.int('rados_pool_create', 'void *', 'str'),
    poolCreateWithRule: library.int('rados_pool_create_with_crush_rule', 'void *', 'str', 'uint8_t'),
    poolDelete: library.int('rados_pool_delete', 'void *', 'str'),
    ioctxCreate: library.int('rados_ioctx_create', 'void *', 'str', 'void *'),
    ioctxDestroy: library.nothing('rados_ioctx_destroy', 'void *'),
    ioctxSetFullTry: library.nothing('rados_set_pool_full_try', 'void *'),
    ioctxSetNamespace: library.nothing('rados_ioctx_set_namespace', 'void *', 'str'),
    ioctxSetLocator: library.nothing('rados_ioctx_locator_set_key', 'void *', 'str'),
    lastVersion: library.wide('rados_get_last_version', 'void *'),
    ioctxPoolStat: library.int('rados_ioctx_pool_stat', 'void *', 'void *'),
  };
}

function objectFunctions(library: NativeLibrary) {
  return {
    read: library.int('rados_read', 'void *', 'str', 'void *', 'size_t', 'uint64_t'),
    write: library.int('rados_write', 'void *', 'str', 'void *', 'size_t', 'uint64_t'),
    writeFull: library.int('rados_write_full', 'void *', 'str', 'void *', 'size_t'),
    append: library.int('rados_append', 'void *', 'str', 'void *', 'size_t'),
    remove: library.int('rados_remove', 'void *', 'str'),
    truncate: library.int('rados_trunc', 'void *', 'str', 'uint64_t'),
    stat: library.int('rados_stat', 'void *', 'str', 'void *', 'void *'),
    getXattr: library.int('rados_getxattr', 'void *', 'str', 'str', 'void *', 'size_t'),
    setXattr: library.int('rados_setxattr', 'void *', 'str', 'str', 'void *', 'size_t'),
    removeXattr: library.int('rados_rmxattr', 'void *', 'str', 'str'),
    getXattrs: library.int('rados_getxattrs', 'void *', 'str', 'void *'),
    getXattrsNext: library.int('rados_getxattrs_next', 'void *', 'void *', 'void *', 'void *'),
    getXattrsEnd: library.nothing('rados_getxattrs_end', 'void *'),
    listOpen: library.int('rados_nobjects_list_open', 'void *', 'void *'),
    listNext: library.int('rados_nobjects_list_next2', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *'),
    listClose: library.nothing('rados_nobjects_list_close', 'void *'),
  };
}

function operationFunctions(library: NativeLibrary) {
  return {
    createReadOperation: library.wide('rados_create_read_op'),
    releaseReadOperation: library.nothing('rados_release_read_op', 'void *'),
    readOmapValues: library.nothing('rados_read_op_omap_get_vals2', 'void *', 'str', 'str', 'uint64_t', 'void *', 'void *', 'void *'),
    readOperate: library.int('rados_read_op_operate', 'void *', 'void *', 'str', 'int'),
    startReadOperate: library.int('rados_aio_read_op_operate', 'void *', 'void *', 'void *', 'str', 'int'),
    omapNext: library.int('rados_omap_get_next2', 'void *', 'void *', 'void *', 'void *', 'void *'),
    omapEnd: library.nothing('rados_omap_get_end', 'void *'),
    createCompletion: library.int('rados_aio_create_completion2', 'void *', 'void *', 'void *'),
    waitForComplete: library.int('rados_aio_wait_for_complete', 'void *'),
    completionResult: library.int('rados_aio_get_return_value', 'void *'),
    releaseCompletion: library.nothing('rados_aio_release', 'void *'),
    createWriteOperation: library.wide('rados_create_write_op'),
    releaseWriteOperation: library.nothing('rados_release_write_op', 'void *'),
    writeCreate: library.nothing('rados_write_op_create', 'void *', 'int', 'str'),
    writeOmapSet: library.nothing('rados_write_op_omap_set2', 'void *', 'void *', 'void *', 'void *', 'void *', 'size_t'),
    writeOmapRemove: library.nothing('rados_write_op_omap_rm_keys2', 'void *', 'void *', 'void *', 'size_t'),
    writeOperate: library.int('rados_write_op_operate', 'void *', 'void *', 'str', 'void *', 'int'),
  };
}
