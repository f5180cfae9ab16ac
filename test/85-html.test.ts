/** The report as a page: what it is made of, and how it behaves in a browser, where there is one. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Script } from 'node:vm'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Browser, Page } from 'playwright-core'
import { printable } from '../lib/printable'
import { writeReport } from '../lib/zoo/report/report'
import type { Result } from '../lib/zoo/result'
import { CHROMIUM, launch } from './support/browser'
import { FULL, HOSTILE_NAMES, hostile, model, tensorsOfNet, zoo } from './support/results'
import { temporaryFolder } from './support/samples'

const folder = temporaryFolder('html')
const BEGAN = new Date('2024-05-06T07:08:09.123Z')
const HOSTILE = HOSTILE_NAMES.map(hostile)

async function pageOf(results: Iterable<Result>): Promise<string> {
  let text = ''
  const write = (piece: string) => {
    text += piece
  }
  await writeReport(results, 'html', write, { began: BEGAN })
  return text
}

describe('the page', () => {
  let page = ''
  beforeAll(async () => {
    page = await pageOf([...zoo(20), FULL, ...HOSTILE])
  })

  const inside = (tag: string) => new RegExp(`<${tag}>(.*?)</${tag}>`, 'gs')
  const blocks = () => [
    ...page.matchAll(/<script type="application\/json" id="([^"]*)">(.*?)<\/script>/gs),
  ]

  test('its policy allows its style and its script, and nothing else', () => {
    const policy = /<meta http-equiv="Content-Security-Policy" content="([^"]*)">/.exec(page)![1]!
    const hashes = ['style', 'script'].map((tag) => {
      const [[, text] = [], ...others] = page.matchAll(inside(tag))
      expect(others).toEqual([])
      return createHash('sha256').update(text!).digest('base64')
    })
    expect(policy.split('; ')).toEqual([
      "default-src 'none'",
      `style-src 'sha256-${hashes[0]}'`,
      `script-src 'sha256-${hashes[1]}'`,
      "base-uri 'none'",
      "form-action 'none'",
    ])
    // It counts from where it stands: before everything that it is about.
    expect(page.indexOf('<meta http-equiv')).toBeLessThan(page.indexOf('<style>'))
  })

  test('its modules are one script that can be compiled', () => {
    const [[, script] = []] = page.matchAll(inside('script'))
    expect(script).not.toMatch(/^(import|export) /m)
    expect(() => new Script(script!)).not.toThrow()
  })

  test('names what it does not ask for nowhere', () => {
    expect(
      page.replaceAll('http://www.w3.org/2000/svg', '').match(/<[^>]*(src|href)=/gi),
    ).toBeNull()
    const style = [...page.matchAll(inside('style'))][0]![1]
    expect(style).not.toMatch(/url\(|@import/)
  })

  test('every result is a block of data, its tensors another', () => {
    const data = new Map(blocks().map(([, id, text]) => [id, JSON.parse(text!)]))
    const all = [...zoo(20), FULL, ...HOSTILE]
    all.forEach(({ details, ...rest }, i) => {
      expect(data.get(`model-${i}`)).toEqual(JSON.parse(JSON.stringify(rest)))
      expect(data.get(`tensors-${i}`)).toEqual(details && JSON.parse(JSON.stringify(details)))
    })
    expect(data.get('run')).toMatchObject({ summary: { models: all.length } })
    expect(data.size).toBe(all.length + HOSTILE.length + 2)
  })

  test('no name ends a block', () => {
    for (const [, , text] of blocks()) expect(text).not.toContain('<')
    expect(page.match(/<script/g)).toHaveLength(blocks().length + 1)
    expect(page.match(/<\/script/g)).toHaveLength(blocks().length + 1)
    expect(page).not.toContain('<img')
    expect(page).not.toContain('<!--')
  })
})

/** Text of all elements that a selector names. */
const textsOf = (page: Page, selector: string) => page.locator(selector).allTextContents()

const attributesOf = (page: Page, selector: string, name: string) =>
  page.evaluate(
    `[...document.querySelectorAll('${selector}')].map((node) => node.getAttribute('${name}'))`,
  ) as Promise<string[]>

const HEADS = ['Status', 'Model', 'Safety', 'Checksums', 'Size', 'Findings']

if (CHROMIUM !== undefined) {
  describe('in a browser', () => {
    let browser: Browser
    /** What went wrong in a page, and what it asked for. */
    const faults: string[] = []

    beforeAll(async () => {
      browser = await launch(CHROMIUM!)
    })
    afterAll(() => browser?.close())

    async function show(results: Iterable<Result>, options = {}): Promise<Page> {
      const file = join(folder, 'report.html')
      writeFileSync(file, await pageOf(results))
      const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, ...options })
      faults.length = 0
      page.on('pageerror', ({ message }) => faults.push(message))
      page.on('console', (message) => faults.push(message.text()))
      page.on('dialog', (dialog) => faults.push(dialog.message()))
      const url = pathToFileURL(file).href
      page.on('request', (request) => {
        if (request.url() !== url) faults.push(request.url())
      })
      await page.goto(url)
      return page
    }

    const small = [
      model('zoo/a/one.pth', { bytes: 3000, tensors: 10 }),
      model('zoo/a/two.pth', { bytes: 1000, tensors: 100, integrity: 'absent' }),
      model('zoo/b/ten.pth', { bytes: 2000, tensors: 2, producer: 'fairseq 0.12' }),
      { ...FULL, path: 'zoo/b/full.pth', bytes: 9000 },
    ]

    const names = (page: Page) => textsOf(page, '#table tr[data-at] td:nth-child(2)')
    /** Presses the head of a column. */
    const sort = (page: Page, title: string) =>
      page.locator('#table th button', { hasText: title }).click()

    test('says what all models come to, the worst first', async () => {
      const page = await show(small)
      expect(await textsOf(page, '#totals b')).toEqual(['4', '113', '14.6 KiB', '1'])
      expect(await textsOf(page, '#overview .chip')).toEqual([
        ...['3 ok', '1 error'],
        ...['3 safe', '1 dangerous'],
        ...['2 ok', '1 mismatch', '1 absent'],
      ])
      expect(await names(page)).toEqual([
        'zoo/b/full.pth',
        'zoo/a/one.pth',
        'zoo/a/two.pth',
        'zoo/b/ten.pth',
      ])
      expect(await page.locator('#model h2').textContent()).toBe('zoo/b/full.pth')
      expect(faults).toEqual([])
      await page.close()
    })

    test('sorts by every column, both ways', async () => {
      const page = await show(small)
      await sort(page, 'Model')
      const byName = ['zoo/a/one.pth', 'zoo/a/two.pth', 'zoo/b/full.pth', 'zoo/b/ten.pth']
      expect(await names(page)).toEqual(byName)
      const sorted = () => page.locator('#table th[aria-sort=ascending]').allTextContents()
      expect(await sorted()).toEqual(['Model'])
      await sort(page, 'Model')
      expect(await names(page)).toEqual([...byName].reverse())
      expect(await sorted()).toEqual([])
      await sort(page, 'Size')
      const bySize = ['zoo/b/full.pth', 'zoo/a/one.pth', 'zoo/b/ten.pth', 'zoo/a/two.pth']
      expect(await names(page)).toEqual(bySize)
      await sort(page, 'Size')
      expect(await names(page)).toEqual([...bySize].reverse())
      for (const title of HEADS) {
        await sort(page, title)
        expect(await names(page)).toHaveLength(small.length)
      }
      expect(faults).toEqual([])
      await page.close()
    })

    test('finds by words, and by what models are', async () => {
      const page = await show(small)
      await page.fill('#find', 'FAIRSEQ zip')
      expect(await names(page)).toEqual(['zoo/b/ten.pth'])
      expect(await page.locator('#count').textContent()).toBe('1 of 4 models')
      await page.fill('#find', 'whole/checksum')
      expect(await names(page)).toEqual(['zoo/b/full.pth'])
      await page.fill('#find', 'nothing at all')
      expect(await names(page)).toEqual([])
      await page.click('#all')
      expect(await names(page)).toHaveLength(4)

      const chip = (text: string) => page.locator('#overview .chip', { hasText: text })
      await chip('absent').click()
      expect(await chip('absent').getAttribute('aria-pressed')).toBe('true')
      expect(await names(page)).toEqual(['zoo/a/two.pth'])
      await chip('mismatch').click()
      expect(await names(page)).toEqual(['zoo/b/full.pth', 'zoo/a/two.pth'])
      await chip('dangerous').click()
      expect(await names(page)).toEqual(['zoo/b/full.pth'])
      await chip('dangerous').click()
      await chip('mismatch').click()
      await chip('absent').click()
      expect(await names(page)).toHaveLength(4)
      expect(await page.locator('#all').isHidden()).toBe(true)
      expect(faults).toEqual([])
      await page.close()
    })

    test('shows the model that is chosen, with everything that is known of it', async () => {
      const page = await show(small)
      await page.locator('#table tr[data-at]', { hasText: 'ten.pth' }).click()
      expect(await page.locator('#model').textContent()).toContain('Nothing was found.')
      await page.locator('#table tr[data-at]', { hasText: 'full.pth' }).click()
      const text = await page.locator('#model').innerText()
      for (const part of [
        FULL.findings[0]!.message,
        'tensor weight, record archive/data/0, byte 640, zoo/full-2.pth',
        FULL.findings[0]!.remedy,
        'builtins.map \u2192 os.system',
        'called at byte 17 of archive/data.pkl',
        'float32 [2, 3] \u00b7 24 B',
        `SHA-256 ${'ef'.repeat(32)}`,
      ])
        expect(text).toContain(part)
      await page.locator('#model summary').click()
      expect(await page.locator('#model .files').innerText()).toContain('cd'.repeat(32))
      expect(faults).toEqual([])
      await page.close()
    })

    test('goes by keys alone', async () => {
      const page = await show(small)
      const chosen = () => page.locator('#model h2').textContent()
      await page.locator('#table table').focus()
      await page.keyboard.press('ArrowDown')
      expect(await chosen()).toBe('zoo/a/one.pth')
      const active = await page.locator('#table table').getAttribute('aria-activedescendant')
      expect(await page.locator(`#${active}`).getAttribute('aria-selected')).toBe('true')
      await page.keyboard.press('End')
      expect(await chosen()).toBe('zoo/b/ten.pth')
      await page.keyboard.press('Home')
      expect(await chosen()).toBe('zoo/b/full.pth')
      // Through the heads of the table.
      await page.locator('#table th button').first().focus()
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter')
      expect((await names(page))[0]).toBe('zoo/a/one.pth')
      const map = page.locator('#sizes .map')
      await map.focus()
      await page.keyboard.press('Home')
      await page.keyboard.press('ArrowRight')
      await page.keyboard.press('Enter')
      expect(await chosen()).toBe('zoo/b/ten.pth')
      expect(faults).toEqual([])
      await page.close()
    })

    test('areas are as large as models', async () => {
      const page = await show(small)
      const labels = await attributesOf(page, '#sizes .cell', 'aria-label')
      const styles = await attributesOf(page, '#sizes .cell', 'style')
      const areas = styles.map((style) => {
        const [width, height] = ['width', 'height'].map((side) =>
          Number.parseFloat(style.split(`${side}: `)[1]!),
        )
        return width! * height!
      })
      const shares: Record<string, number> = Object.fromEntries(
        labels.map((label, i) => [label, areas[i]! / 1e4]),
      )
      expect(Object.keys(shares)).toHaveLength(4)
      // The names of two groups take some room, of each its own share.
      const one = shares['zoo/a/one.pth, 2.9 KiB']!
      const two = shares['zoo/a/two.pth, 1000 B']!
      expect(one / two).toBeCloseTo(3, 3)
      expect(shares['zoo/b/full.pth, 8.8 KiB']! / shares['zoo/b/ten.pth, 2.0 KiB']!).toBeCloseTo(
        4.5,
        3,
      )
      const sum = Object.values(shares).reduce((total, share) => total + share, 0)
      expect(sum).toBeGreaterThan(0.8)
      expect(sum).toBeLessThanOrEqual(1.0001)
      await page.close()
    })

    test('shows the values of a tensor', async () => {
      const details = tensorsOfNet(8)
      const page = await show([model('net.pth', { details, tensors: details.length })])
      // The largest is there at once.
      expect(await page.locator('#tensor h4').textContent()).toBe('layer4.6.conv.weight')
      await page.fill('#find-tensor', 'layer2.2 bias')
      await page.locator('#tensors tr[data-at]').first().click()
      expect(await page.locator('#tensor h4').textContent()).toBe('layer2.2.bn.bias')
      const { histogram, max } = details.find(({ name }) => name === 'layer2.2.bn.bias')!.values!
      expect(await page.locator('#tensor .count').count()).toBe(64)
      const titles = await textsOf(page, '#tensor svg title')
      expect(titles.map((title) => Number(title.split(': ')[1]))).toEqual(histogram)
      const heights = async () => (await attributesOf(page, '#tensor .count', 'height')).map(Number)
      const linear = await heights()
      const highest = histogram.indexOf(Math.max(...histogram))
      expect(linear[highest]).toBe(Math.max(...linear))
      await page.locator('#tensor input[type=checkbox]').check()
      const logarithmic = await heights()
      expect(logarithmic[highest]).toBe(Math.max(...logarithmic))
      expect(logarithmic.reduce((a, b) => a + b)).toBeGreaterThan(linear.reduce((a, b) => a + b))
      const facts = await page.locator('#tensor dl').innerText()
      expect(facts.replaceAll(/\s+/g, ' ')).toContain(`max ${Number(max!.toPrecision(5))}`)
      await page.locator('#tensors .cell').first().click()
      expect(await page.locator('#tensor h4').textContent()).toBe('layer4.6.conv.weight')
      expect(faults).toEqual([])
      await page.close()
    })

    test('hostile names are text', async () => {
      const page = await show(HOSTILE)
      for (const [i, name] of HOSTILE_NAMES.entries()) {
        await page.locator(`#table tr[data-at="${i}"]`).click()
        const shown = printable(name).replaceAll(/\p{Surrogate}/gu, '\ufffd')
        const has = async (selector: string) => {
          const text = (await page.locator(selector).textContent())!
          return text.replaceAll(/\p{Surrogate}/gu, '\ufffd').includes(shown)
        }
        expect([name, await has('#model h2'), await has('#tensor h4')]).toEqual([name, true, true])
        expect(await has('#model .globals')).toBe(true)
      }
      expect(await page.title()).toBe('Model zoo')
      expect(await page.locator('img, iframe, object, a').count()).toBe(0)
      const kinds = await attributesOf(page, 'script', 'type')
      expect(kinds.filter((kind) => kind === null)).toHaveLength(1)
      expect(faults).toEqual([])
      await page.close()
    })

    test('is light and dark', async () => {
      const seen: number[][] = []
      for (const colorScheme of ['light', 'dark']) {
        const page = await show(small, { colorScheme })
        const colours = await page.locator('body').evaluate((node) => {
          const view = node.ownerDocument.defaultView!
          const { backgroundColor, color } = view.getComputedStyle(node)
          return [backgroundColor, color]
        })
        seen.push(colours.map((colour) => Math.max(...colour.match(/\d+/g)!.map(Number))))
        await page.close()
      }
      const [[page, ink], [darkPage, darkInk]] = seen as [[number, number], [number, number]]
      expect(page - ink).toBeGreaterThan(150)
      expect(darkInk - darkPage).toBeGreaterThan(150)
    })

    test('fits a narrow window', async () => {
      const page = await show(small, { viewport: { width: 600, height: 900 } })
      const width = await page.evaluate('document.documentElement.scrollWidth')
      expect(width).toBeLessThanOrEqual(600)
      await page.close()
    })

    test('2,000 models, and 10,000 tensors of one', async () => {
      const details = tensorsOfNet(2000)
      const results = [model('zoo/a-large.pth', { details, tensors: 10_000 }), ...zoo(2000)]
      const began = performance.now()
      const page = await show(results)
      expect(performance.now() - began).toBeLessThan(15_000)
      expect(await page.locator('#table tr[data-at]').count()).toBeLessThan(60)
      expect(await page.locator('#sizes .cell').count()).toBeLessThanOrEqual(501)

      // How long the page itself is busy, as it sees it.
      const busy = (act: string) =>
        page.evaluate(`(() => {
          const began = performance.now()
          ${act}
          document.body.getBoundingClientRect()
          return performance.now() - began
        })()`) as Promise<number>
      expect(await busy(`document.querySelector('#table th button').click()`)).toBeLessThan(1000)
      const type = (text: string) =>
        `const find = document.querySelector('#find'); find.value = '${text}'; find.dispatchEvent(new Event('input'))`
      expect(await busy(type('model-19'))).toBeLessThan(1000)
      expect(await busy(type('a-large'))).toBeLessThan(1000)
      expect(await busy(`document.querySelector('#table tr[data-at]').click()`)).toBeLessThan(3000)
      expect(await page.locator('#tensors tr[data-at]').count()).toBeLessThan(60)

      // The last row is there once one gets to it.
      await page.locator('#tensors table').focus()
      await page.keyboard.press('End')
      expect(await page.locator('#tensor h4').textContent()).toBe(details.at(-1)!.name)
      const last = page.locator('#tensors tr[data-at="9999"]')
      expect(await last.getAttribute('aria-rowindex')).toBe('10001')
      expect(faults).toEqual([])
      await page.close()
    })
  })
}
