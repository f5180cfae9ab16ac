// Puts the built addon where the package carries it: prebuilds/<platform>-<arch>/torchmap.node.

import { copyFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { builtAddon, prebuiltAddon, root } from './run.mjs'

mkdirSync(join(root, dirname(prebuiltAddon)), { recursive: true })
copyFileSync(join(root, builtAddon), join(root, prebuiltAddon))
console.log(prebuiltAddon)
