#!/usr/bin/env node
/**
 * The command `pvc`: runs the bundle beside it, with what V8 compiled of it when it was built (client/compile-command.mjs). V8 takes that from its
 * own version only; another one compiles the bundle anew, which takes longer and does the same.
 */
'use strict';

const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');

const filename = join(__dirname, 'command.js');
const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData: readFileSync(join(__dirname, 'command.cache')) });
script.runInThisContext()(require, { exports: {} });
