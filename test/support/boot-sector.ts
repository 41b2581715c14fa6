/** A diskette has 1,440 KiB. */
const FLOPPY_BYTES = 1_474_560;

/**
 * A whole guest in 30 bytes: sleeps until the ACPI power button is pressed, then switches itself off. For QEMU's machine type pc, whose
 * firmware puts the ACPI event registers at port 0x600 (status), 0x602 (enable) and 0x604 (control).
 */
const CODE = [
  [0xba, 0x02, 0x06], // mov dx, 0x602
  [0xb8, 0x00, 0x01], // mov ax, 0x100: power button enabled
  [0xef], //             out dx, ax
  [0xfb], //             sti
  [0xf4], //       wait: hlt, until the timer's next tick (55 ms)
  [0xba, 0x00, 0x06], // mov dx, 0x600
  [0xed], //             in ax, dx
  [0xf6, 0xc4, 0x01], // test ah, 1: power button pressed
  [0x74, 0xf6], //       jz wait
  [0xba, 0x04, 0x06], // mov dx, 0x604
  [0xb8, 0x00, 0x20], // mov ax, 0x2000: sleep, type 0, which is off
  [0xef], //             out dx, ax
  [0xf4], //       done: hlt
  [0xeb, 0xfd], //       jmp done
].flat();

/** A diskette that boots the guest above. */
export function bootFloppy(): Buffer {
  const image = Buffer.alloc(FLOPPY_BYTES);
  image.set(CODE, 0);
  image.set([0x55, 0xaa], 510);
  return image;
}
