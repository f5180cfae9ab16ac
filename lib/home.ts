/** Where tensors have their session and their names from. */
import type { Session } from './session'

/** One for all tensors of a map, mostly. */
export abstract class Home {
  readonly session: Session

  constructor(session: Session) {
    this.session = session
  }

  abstract nameOf(position: number): string
}

/** Of a tensor that is in no map of its session. */
export class OneName extends Home {
  readonly #name: string

  constructor(session: Session, name: string) {
    super(session)
    this.#name = name
  }

  override nameOf(): string {
    return this.#name
  }
}
