import { readFileSync, statSync } from 'node:fs';

/** Name of the user that a file belongs to, links followed; the number where no name is known; '' where there is no such file. */
export function ownerOf(path: string, passwd = '/etc/passwd'): string {
  let uid: number;
  try {
    ({ uid } = statSync(path));
  } catch {
    return '';
  }
  try {
    // name:password:uid:…
    const line = readFileSync(passwd, 'utf8').split('\n').find((candidate) => candidate.split(':')[2] === String(uid));
    return line?.split(':')[0] ?? String(uid);
  } catch {
    return String(uid);
  }
}
