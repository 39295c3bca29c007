/** The world outside of the cloud: a namespace behind the machine that has no way back to any network of the cloud's. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';

export class Wan {
  readonly address = '198.51.100.2';
  readonly port = 8080;
  readonly #name = `wan${process.pid}`;
  readonly #server: ReturnType<typeof spawn>;

  constructor() {
    const lines = [
      `netns add ${this.#name}`,
      `link add ${this.#name} type veth peer name eth0 netns ${this.#name}`,
      `address add 198.51.100.1/24 dev ${this.#name}`,
      `link set ${this.#name} up`,
    ];
    execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') });
    const inside = [`address add ${this.address}/24 dev eth0`, 'link set eth0 up'];
    execFileSync('ip', ['-n', this.#name, '-batch', '-'], { input: inside.join('\n') });
    const listen = `TCP-LISTEN:${this.port},fork,reuseaddr`;
    this.#server = spawn('ip', ['netns', 'exec', this.#name, 'socat', listen, 'SYSTEM:echo world'], {
      stdio: 'ignore',
    });
  }

  /** The first line of who answers the machine at a TCP port; null: nobody does within a second. */
  ask(address: string, port: number): string | null {
    const { stdout } = spawnSync('socat', ['-T', '2', '-', `TCP:${address}:${port},connect-timeout=1`], {
      input: '',
      encoding: 'utf8',
    });
    return stdout.trim() || null;
  }

  [Symbol.dispose](): void {
    this.#server.kill('SIGKILL');
    execFileSync('ip', ['link', 'del', this.#name]);
    execFileSync('ip', ['netns', 'del', this.#name]);
  }
}
