/** A server of a test cloud: what a test does with it, and what it wants to become of it. */
import type { Answer, Client, User } from './client.ts';
import { eventually } from './eventually.ts';

export interface ShownServer {
  readonly id: string;
  readonly status: string;
  readonly 'OS-EXT-STS:vm_state': string;
  readonly 'OS-EXT-STS:task_state': string | null;
  readonly fault?: { readonly message: string };
}

export interface ShownAction {
  readonly action: string;
  readonly message: string | null;
  readonly events: readonly { readonly event: string; readonly result: string | null }[];
}

/** The cloud that it is on: whose clients ask. */
export interface Logins {
  as(user: User): Promise<Client>;
}

export class TestServer {
  readonly id: string;
  /** Of the launch. */
  readonly requestId: string;
  readonly #cloud: Logins;
  readonly #user: User;

  constructor(cloud: Logins, user: User, id: string, requestId: string) {
    this.#cloud = cloud;
    this.#user = user;
    this.id = id;
    this.requestId = requestId;
  }

  /** As the API shows it; null when it is gone. */
  async show(): Promise<ShownServer | null> {
    const answer = await (await this.#client()).request<{ server: ShownServer }>('GET', this.#path());
    return answer.status === 404 ? null : answer.body.server;
  }

  /** Waits for a status with nothing going on. Throws at once when the server is in ERROR instead. */
  is(status: string): Promise<ShownServer> {
    return eventually(
      `server ${this.id} ${status}`,
      async () => {
        const shown = await this.show();
        if (shown?.status === 'ERROR' && status !== 'ERROR')
          throw new Error(`server ${this.id} is in ERROR: ${shown.fault?.message}`);
        return shown?.status === status && shown['OS-EXT-STS:task_state'] === null ? shown : null;
      },
      { state: () => this.show() },
    );
  }

  isGone(): Promise<boolean> {
    return eventually(`server ${this.id} gone`, async () => (await this.show()) === null, {
      state: () => this.show(),
    });
  }

  /** Asks for termination; answers the request id. */
  async delete(): Promise<string> {
    const answer = await (await this.#client()).request('DELETE', this.#path());
    if (answer.status !== 204) throw new Error(`delete: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.requestId;
  }

  /** Asks for a snapshot; answers the request id, and resolves as the API does, when the image can be seen. */
  async snapshot(
    name = 'snap',
  ): Promise<{ readonly status: number; readonly requestId: string; readonly imageId: string }> {
    const client = await this.#client();
    const answer = await client.request<{ image_id?: string }>('POST', `${this.#path()}/action`, {
      json: { createImage: { name } },
    });
    return { status: answer.status, requestId: answer.requestId, imageId: answer.body?.image_id ?? '' };
  }

  /** Sends an action, whatever comes of it. */
  async ask(action: string, argument: unknown = null, user: User = this.#user): Promise<Answer<unknown>> {
    const client = await this.#cloud.as(user);
    return client.request('POST', `${this.#path()}/action`, { json: { [action]: argument } });
  }

  /** Sends an action that must be accepted; answers the request id. */
  async act(action: string, argument: unknown = null, user: User = this.#user): Promise<string> {
    const answer = await this.ask(action, argument, user);
    if (answer.status >= 300) throw new Error(`${action}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.requestId;
  }

  /** Cancels what a request began. */
  async cancel(requestId: string): Promise<Answer<unknown>> {
    return (await this.#client()).request('DELETE', `${this.#path()}/os-instance-actions/${requestId}`);
  }

  /** What a request did, with its steps. */
  async action(requestId: string): Promise<ShownAction> {
    const client = await this.#client();
    const path = `${this.#path()}/os-instance-actions/${requestId}`;
    return (await client.ok<{ instanceAction: ShownAction }>('GET', path)).instanceAction;
  }

  #client(): Promise<Client> {
    return this.#cloud.as(this.#user);
  }

  #path(): string {
    return `/compute/v2.1/servers/${this.id}`;
  }
}
