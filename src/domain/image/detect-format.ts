/**
 * Which disk format the first bytes of an image claim, in the eyes of the most credulous reader: QEMU's own probing.
 *
 * It must find at least what QEMU would find, else "raw" could hide a header that points at a host's file.
 */

/** Formats of disks that are known by their first bytes; `luks` and `iso` are harmless inside raw. */
export type DetectedFormat = 'qcow2' | 'qed' | 'vmdk' | 'vhd' | 'vhdx' | 'vdi' | 'ploop' | 'iso' | 'luks';

/** How many bytes `detectFormat` wants to see (an ISO's volume descriptor is behind 32 KiB). */
export const DETECT_BYTES = 0x8006;

const VDI_SIGNATURE = 0xbeda107f;

/** The format that `head` (the first `DETECT_BYTES`, or all there is) shows, or null for none. */
export function detectFormat(head: Uint8Array): DetectedFormat | null {
  const starts = (text: string, at = 0) => {
    for (let index = 0; index < text.length; index += 1) if (head[at + index] !== text.charCodeAt(index)) return false;
    return true;
  };
  if (starts('QFI\xfb')) return 'qcow2';
  if (starts('QED\0')) return 'qed';
  if (starts('KDMV') || starts('COWD') || isVmdkDescriptor(head)) return 'vmdk';
  if (starts('conectix')) return 'vhd';
  if (starts('vhdxfile')) return 'vhdx';
  if (starts('WithoutFreeSpace') || starts('WithouFreSpacExt')) return 'ploop';
  if (starts('LUKS\xba\xbe')) return 'luks';
  if (head.length >= 0x44) {
    const signature = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(0x40, true);
    if (signature === VDI_SIGNATURE) return 'vdi';
  }
  if (starts('CD001', 0x8001) || starts('BEA01', 0x8001)) return 'iso';
  return null;
}

/** A text that names extents in other files. QEMU accepts comments and blank lines before `version=`. */
function isVmdkDescriptor(head: Uint8Array): boolean {
  const text = new TextDecoder('latin1').decode(head.subarray(0, 4096));
  if (text.slice(0, 21).toLowerCase() === '# disk descriptorfile') return true;
  for (const line of text.split('\n')) {
    const word = line.trim();
    if (word === '' || word.startsWith('#')) continue;
    return word.toLowerCase().startsWith('version=');
  }
  return false;
}
