// Bytes as people look at them: 16 in a line, and what they are as characters.

export const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

export function hex(bytes) {
  const width = matchMedia('(max-width: 44rem)').matches ? 8 : 16;
  const lines = [];
  for (let i = 0; i < bytes.length; i += width) {
    const part = [...bytes.subarray(i, i + width)];
    const digits = part.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const text = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '·')).join('');
    lines.push(`${i.toString(16).padStart(4, '0')}  ${digits.padEnd(width * 3)} ${text}`);
  }
  return lines.join('\n');
}
