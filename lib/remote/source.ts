/** What of the things that can be opened is elsewhere, and how to reach it. */
import { wrongType, wrongValue } from '../arguments'
import { CachedObject } from './cache'
import { HttpObject } from './http'
import { type ByteSource, isByteSource, type RemoteObject, SlicedObject } from './object'
import type { CheckedRemoteOptions } from './options'

/** A URL, or bytes that their owner cuts out. */
export type RemoteSource = { url: URL } | { bytes: ByteSource | Blob; name: string }

/**
 * Nothing for what is no such source.
 *
 * @param name of the argument
 */
export function remoteSource(source: unknown, name: string): RemoteSource | undefined {
  const text = typeof source === 'string' ? source : hrefOf(source)
  if (text !== undefined) {
    if (!/^https?:\/\//i.test(text)) return undefined
    if (!URL.canParse(text)) throw wrongValue(name, 'a URL', source)
    const url = new URL(text)
    if (url.username !== '' || url.password !== '') {
      throw wrongValue(name, 'a URL without credentials; options.remote.fetch can send them', '…')
    }
    return { url }
  }
  return isByteSource(source) ? { bytes: source, name } : undefined
}

export async function reach(
  source: RemoteSource,
  options: CheckedRemoteOptions,
  signal: AbortSignal | undefined,
): Promise<RemoteObject> {
  if (!('url' in source)) return SlicedObject.open(source.bytes, source.name)
  const object = await HttpObject.open(source.url, options, signal)
  return options.cache === undefined ? object : CachedObject.over(object, source.url, options.cache)
}

/** Refuses what is asked for only of files. */
export function checkRemoteRequest(options: { salvage: boolean; verify: boolean }): void {
  for (const name of ['salvage', 'verify'] as const) {
    if (options[name]) {
      throw wrongValue(`options.${name}`, 'false for a checkpoint that is elsewhere', true)
    }
  }
}

/** For calls that cannot wait. */
export function refuseRemote(source: unknown, name: string): never {
  throw wrongType(name, 'something that is here; open() reaches what is elsewhere', source)
}

function hrefOf(source: unknown): string | undefined {
  // By its shape, as Node does: a URL can come from another realm.
  const { href, protocol } = (source ?? {}) as Partial<URL>
  return typeof href === 'string' && typeof protocol === 'string' ? href : undefined
}
