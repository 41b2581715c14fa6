/** What shows the API who asks: a token, or the cookie of a session that is opened when it is first needed. */
export class Session {
  readonly #token: string | undefined;
  readonly #login: () => Promise<string | undefined>;
  /** Undefined until the first need. */
  #cookie: Promise<string | undefined> | undefined;
  /** The cookie that was refused last: of many requests that were refused with it, one makes it forgotten. */
  #refused: string | undefined;

  constructor(credentials: string | { login: string }, logIn: (token: string) => Promise<string | undefined>) {
    this.#token = typeof credentials === 'string' ? credentials : undefined;
    this.#login = () => logIn(typeof credentials === 'string' ? credentials : credentials.login);
  }

  /**
   * Headers of a request. One that is open to everybody opens no session, but brings the cookie if there is one.
   * @throws ClientError when the login fails; the next request tries it again.
   */
  async headers(access: 'open' | 'token'): Promise<Readonly<Record<string, string>>> {
    if (this.#token !== undefined) return { 'X-Api-Key': this.#token };
    if (this.#cookie === undefined && access === 'open') return {};
    const cookie = await this.#opened();
    return cookie === undefined ? {} : { Cookie: cookie };
  }

  forget(): void {
    this.#cookie = undefined;
  }

  /** After a 401 for a request with these headers: whether another request may be let in, with a new session. */
  isRefused(headers: Readonly<Record<string, string>>): boolean {
    const { Cookie: cookie } = headers;
    if (this.#token !== undefined || cookie === undefined) return false;
    if (this.#refused !== cookie) this.forget();
    this.#refused = cookie;
    return true;
  }

  async #opened(): Promise<string | undefined> {
    const opening = (this.#cookie ??= this.#login());
    try {
      return await opening;
    } catch (error) {
      if (this.#cookie === opening) this.#cookie = undefined;
      throw error;
    }
  }
}
