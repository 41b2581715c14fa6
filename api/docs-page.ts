import { PVC_VERSION } from '../common/version.ts';
import { valuesOf, type ShownValue } from './openapi.ts';
import { API_PREFIX, type Route } from './route.ts';

/** A page that needs nothing from anywhere else; it can be read without scripts. */
export function docsPage(routes: readonly Route[]): string {
  const tags = [...new Set(routes.map(tagOf))];
  const sections = tags.map((tag) => `<h2 id="${escape(tag)}">${escape(tag)}</h2>\n${routes.filter((one) => tagOf(one) === tag).map(section).join('\n')}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>PVC HTTP API</title>
<style>${STYLE}</style></head>
<body><h1>PVC HTTP API <small>${PVC_VERSION}</small></h1>
<p>Values stand in the query, in a form or in a JSON body, whatever the method. Replies are JSON; failures have a <code>message</code>.
Authenticate with the header <code>X-Api-Key</code>, or <a href="${API_PREFIX}/auth/login">log in</a>.
The same as an <a href="${API_PREFIX}/openapi.json">OpenAPI document</a>.</p>
<nav>${tags.map((tag) => `<a href="#${escape(tag)}">${escape(tag)}</a>`).join(' ')}</nav>
${sections.join('\n')}
</body></html>
`;
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
details{border:1px solid #8884;border-radius:4px;margin:.4rem 0;padding:.3rem .8rem}summary{cursor:pointer}
code{font-family:ui-monospace,monospace}.GET{color:#06c}.POST{color:#080}.PUT{color:#a60}.DELETE{color:#c00}
table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}:root{color-scheme:light dark}`;

function tagOf(one: Route): string {
  return one.path.split('/')[1] || 'general';
}

function section(one: Route): string {
  const path = `${API_PREFIX}${one.path}`;
  const values = valuesOf(one);
  const link = one.method === 'GET' && one.pathValues.length === 0 ? `<p><a href="${escape(path)}">open</a></p>` : '';
  const also = one.paths.slice(1).map((alias) => `<code>${escape(API_PREFIX + alias)}</code>`);
  return `<details><summary><code><b class="${one.method}">${one.method}</b> ${escape(path)}</code> ${escape(one.summary)}</summary>
<p>${escape(one.description)}</p>${also.length === 0 ? '' : `<p>Also at ${also.join(', ')}</p>`}
${values.length === 0 ? '' : `<table><tr><th>Value</th><th>Kind</th><th></th></tr>${values.map(row).join('')}</table>`}
<p>Answers ${one.reply.code} with ${escape(one.reply.type)}.</p>${link}</details>`;
}

function row({ name, aliases, doc }: ShownValue): string {
  const others = aliases.length === 0 ? '' : ` <small>or ${aliases.map((alias) => `<code>${escape(alias)}</code>`).join(', ')}</small>`;
  const choices = Array.isArray(doc.json['enum']) ? ` One of ${doc.json['enum'].map(String).join(', ')}.` : '';
  return `<tr><td><code>${escape(name)}</code>${others}</td><td>${doc.kind}${doc.required ? ', required' : ''}</td><td>${escape(doc.description + choices)}</td></tr>`;
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
