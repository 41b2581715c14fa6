import { NativeLibrary } from './native-library.ts';

/**
 * Functions of librbd by their own names, without the prefix; see its librbd.h. Checked against 16.2 (librbd.so.1). Results below 0 are
 * negative errno values. Those with a callback for progress are used with one that does nothing: it is called in librbd's threads.
 */
export function loadLibrbd() {
  const library = new NativeLibrary('librbd.so.1');
  return { ...poolFunctions(library), ...imageFunctions(library), ...snapshotFunctions(library), ...lockFunctions(library) };
}

export type Librbd = ReturnType<typeof loadLibrbd>;

function poolFunctions(library: NativeLibrary) {
  return {
    list2: library.int('rbd_list2', 'void *', 'void *', 'void *'),
    imageSpecListCleanup: library.nothing('rbd_image_spec_list_cleanup', 'void *', 'size_t'),
    linkedImageSpecListCleanup: library.nothing('rbd_linked_image_spec_list_cleanup', 'void *', 'size_t'),
    snapSpecCleanup: library.nothing('rbd_snap_spec_cleanup', 'void *'),
    create4: library.int('rbd_create4', 'void *', 'str', 'uint64_t', 'void *'),
    clone3: library.int('rbd_clone3', 'void *', 'str', 'str', 'void *', 'str', 'void *'),
    remove: library.int('rbd_remove', 'void *', 'str'),
    rename: library.int('rbd_rename', 'void *', 'str', 'str'),
    optionsCreate: library.nothing('rbd_image_options_create', 'void *'),
    optionsDestroy: library.nothing('rbd_image_options_destroy', 'void *'),
    optionsSetNumber: library.int('rbd_image_options_set_uint64', 'void *', 'int', 'uint64_t'),
    optionsSetText: library.int('rbd_image_options_set_string', 'void *', 'int', 'str'),
  };
}

function imageFunctions(library: NativeLibrary) {
  return {
    open: library.int('rbd_open', 'void *', 'str', 'void *', 'str'),
    openReadOnly: library.int('rbd_open_read_only', 'void *', 'str', 'void *', 'str'),
    close: library.int('rbd_close', 'void *'),
    stat: library.int('rbd_stat', 'void *', 'void *', 'size_t'),
    id: library.int('rbd_get_id', 'void *', 'void *', 'size_t'),
    blockNamePrefix: library.int('rbd_get_block_name_prefix', 'void *', 'void *', 'size_t'),
    size: library.int('rbd_get_size', 'void *', 'void *'),
    features: library.int('rbd_get_features', 'void *', 'void *'),
    opFeatures: library.int('rbd_get_op_features', 'void *', 'void *'),
    flags: library.int('rbd_get_flags', 'void *', 'void *'),
    stripeUnit: library.int('rbd_get_stripe_unit', 'void *', 'void *'),
    stripeCount: library.int('rbd_get_stripe_count', 'void *', 'void *'),
    dataPoolId: library.number('rbd_get_data_pool_id', 'void *'),
    overlap: library.int('rbd_get_overlap', 'void *', 'void *'),
    createTimestamp: library.int('rbd_get_create_timestamp', 'void *', 'void *'),
    accessTimestamp: library.int('rbd_get_access_timestamp', 'void *', 'void *'),
    modifyTimestamp: library.int('rbd_get_modify_timestamp', 'void *', 'void *'),
    parent: library.int('rbd_get_parent', 'void *', 'void *', 'void *'),
    children: library.int('rbd_list_children3', 'void *', 'void *', 'void *'),
    updateFeatures: library.int('rbd_update_features', 'void *', 'uint64_t', 'uint8_t'),
    resize: library.int('rbd_resize', 'void *', 'uint64_t'),
    copy3: library.int('rbd_copy3', 'void *', 'void *', 'str', 'void *'),
    flatten: library.int('rbd_flatten', 'void *'),
    rebuildObjectMap: library.int('rbd_rebuild_object_map', 'void *', 'void *', 'void *'),
    read2: library.number('rbd_read2', 'void *', 'uint64_t', 'size_t', 'void *', 'int'),
    write2: library.number('rbd_write2', 'void *', 'uint64_t', 'size_t', 'void *', 'int'),
    writeZeroes: library.number('rbd_write_zeroes', 'void *', 'uint64_t', 'size_t', 'int', 'int'),
    flush: library.int('rbd_flush', 'void *'),
    metadataList: library.int('rbd_metadata_list', 'void *', 'str', 'uint64_t', 'void *', 'void *', 'void *', 'void *'),
    metadataGet: library.int('rbd_metadata_get', 'void *', 'str', 'void *', 'void *'),
    metadataSet: library.int('rbd_metadata_set', 'void *', 'str', 'str'),
    metadataRemove: library.int('rbd_metadata_remove', 'void *', 'str'),
  };
}

function snapshotFunctions(library: NativeLibrary) {
  return {
    snapList: library.int('rbd_snap_list', 'void *', 'void *', 'void *'),
    snapListEnd: library.nothing('rbd_snap_list_end', 'void *'),
    snapCreate: library.int('rbd_snap_create', 'void *', 'str'),
    snapRemove2: library.int('rbd_snap_remove2', 'void *', 'str', 'int', 'void *', 'void *'),
    snapRename: library.int('rbd_snap_rename', 'void *', 'str', 'str'),
    snapRollback: library.int('rbd_snap_rollback', 'void *', 'str'),
    snapProtect: library.int('rbd_snap_protect', 'void *', 'str'),
    snapUnprotect: library.int('rbd_snap_unprotect', 'void *', 'str'),
    snapIsProtected: library.int('rbd_snap_is_protected', 'void *', 'str', 'void *'),
    snapTimestamp: library.int('rbd_snap_get_timestamp', 'void *', 'uint64_t', 'void *'),
    snapNamespaceType: library.int('rbd_snap_get_namespace_type', 'void *', 'uint64_t', 'void *'),
  };
}

function lockFunctions(library: NativeLibrary) {
  return {
    listLockers: library.number('rbd_list_lockers', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *', 'void *'),
    lockExclusive: library.int('rbd_lock_exclusive', 'void *', 'str'),
    breakLock: library.int('rbd_break_lock', 'void *', 'str', 'str'),
    lockAcquire: library.int('rbd_lock_acquire', 'void *', 'int'),
    lockOwners: library.int('rbd_lock_get_owners', 'void *', 'void *', 'void *', 'void *'),
    lockOwnersCleanup: library.nothing('rbd_lock_get_owners_cleanup', 'void *', 'size_t'),
    lockBreak: library.int('rbd_lock_break', 'void *', 'int', 'str'),
    watchers: library.int('rbd_watchers_list', 'void *', 'void *', 'void *'),
    watchersCleanup: library.nothing('rbd_watchers_list_cleanup', 'void *', 'size_t'),
  };
}
