/**
 * How rules know ports: the mark of a frame has the number of the port that it came from in its upper half, and that of the port it
 * goes to in its lower half; 0 where that is no guest's. Guests cannot write marks.
 */

export const FROM = '0xffff0000';
export const TO = '0x0000ffff';

export function fromMark(number: number): string {
  return hex(number * 2 ** 16);
}

export function toMark(number: number): string {
  return hex(number);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
