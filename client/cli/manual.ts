import { PVC_VERSION } from '../../common/version.ts';
import type { Argument, Option } from './declare.ts';
import { argumentText, commonOptions } from './program.ts';
import { isGroup, isVerb, type Group, type Verb } from './verb.ts';

/** Text for roff: nothing of it is taken for a request or an escape. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll(/^([.'])/gmu, '\\&$1');
}

const INTRODUCTION = `.TH PVC 1 "" "pvc ${PVC_VERSION}" "Parallel Virtual Cluster"
.SH NAME
pvc \\- work with a PVC cluster
.SH SYNOPSIS
.B pvc
.RI [ -c
.IR CONNECTION ]
.I NOUN VERB
.RI [ ARGUMENTS ]
.SH DESCRIPTION
Talks to the HTTP API of a cluster. What people read goes to standard error where standard output may be a pipe: questions, progress, errors.
`;

const ENDING = `.SH ENVIRONMENT
.TP
.BR PVC_API_URL ", " PVC_API_TOKEN ", " PVC_API_CA
The API, a token, and a file of certificate authorities; used when no connection is named.
.TP
.B PVC_CONNECTION
Name of the connection to use.
.TP
.BR VISUAL ", " EDITOR
The editor of pvc vm edit.
.TP
.BR NO_COLOR ", " FORCE_COLOR
Colours nowhere, and everywhere.
.SH FILES
.TP
.I ~/.config/pvc/connections.json
The connections with their tokens, mode 0600; below XDG_CONFIG_HOME when that is set.
.SH EXIT STATUS
0 done; 1 refused by the cluster, or failed; 2 wrong usage; 3 the cluster cannot be reached; 4 not authorised; 130 after Ctrl\\-C.
`;

/** The manual page, made of the same declarations as the help. */
export function manualPage(nouns: readonly (Group | Verb)[]): string {
  const groups = nouns.filter(isGroup).map((group) => groupText(group, 'pvc'));
  const single = nouns.filter((one) => isVerb(one)).map((verb) => verbText(verb, `pvc ${verb.name}`));
  return [INTRODUCTION, '.SH COMMANDS\n', ...groups, '.SS Others\n', ...single, ENDING].join('');
}

function groupText(group: Group, path: string): string {
  const own = `${path} ${group.name}`;
  const verbs = group.verbs.map((verb) => verbText(verb, `${own} ${verb.name}`));
  return [`.SS ${escaped(own)}: ${escaped(group.about)}\n`, ...verbs, ...(group.groups ?? []).map((inner) => groupText(inner, own))].join('');
}

function verbText(verb: Verb, path: string): string {
  const given = Object.entries(verb.arguments).map(([name, argument]) => argumentText(name, argument));
  const options = [
    ...Object.entries(verb.arguments).map(([name, argument]) => [argumentText(name, argument), aboutOf(argument)]),
    ...Object.values(verb.options).map((option) => [option.flags, aboutOf(option)]),
    ...commonOptions(verb).map((option) => [option.flags, option.description]),
  ];
  return [
    `.PP\n.B ${escaped([path, ...given].join(' '))}\n.RS\n${escaped(verb.about)}.\n`,
    verb.detail === undefined ? '' : `${escaped(verb.detail)}\n`,
    ...options.map(([flags = '', about = '']) => `.TP\n.B ${escaped(flags)}\n${escaped(about)}\n`),
    ...verb.examples.map(({ line, about }) => `.PP\n.nf\n${escaped(line)}\n.fi\n${escaped(about)}\n`),
    '.RE\n',
  ].join('');
}

function aboutOf({ about, words }: Argument<unknown> | Option<unknown>): string {
  return words === undefined ? about : `${about} (${words.join(', ')})`;
}
