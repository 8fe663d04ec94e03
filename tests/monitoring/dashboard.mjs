// Checks a dashboard against Grafana's own types: node dashboard.mjs DASHBOARD TOOLS
//
// TOOLS holds node_modules with @grafana/schema, the types that Grafana generates from its schema, and typescript. The dashboard is written down as
// a TypeScript value, so that its compiler finds every field that Grafana does not know and every value that it would not take:
// in the dashboard, in each panel, in the panel's options, and in what is set for its fields.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const [file, tools] = process.argv.slice(2).map((path) => resolve(path));
const ts = createRequire(join(tools, 'package.json'))('typescript');
const dashboard = JSON.parse(readFileSync(file, 'utf8'));

// Each kind of panel that the dashboard has, and the module with its types.
const kinds = { bargauge: 'BarGauge', stat: 'Stat', 'state-timeline': 'StateTimeline', table: 'Table', timeseries: 'TimeSeries' };
const problems = [];
const lines = [
    `import type { Dashboard, DataSourceRef, FieldConfig, Panel, RowPanel } from '@grafana/schema';`,
    // JSON has no enumerations: their values stand for them.
    `type Plain<T> = unknown extends T ? T : T extends string ? \`\${T}\` : T extends number ? (\`\${T}\` extends \`\${infer N extends number}\` ? N : never)`,
    `    : T extends Array<infer Item> ? Array<Plain<Item>> : T extends object ? { [Key in keyof T]: Plain<T[Key]> } : T;`,
    `interface Query { datasource: DataSourceRef; editorMode: 'code'; expr: string; refId: string; instant: boolean; range: boolean; format?: 'table'; legendFormat?: string }`,
];
const say = (name, type, value) => lines.push(`export const ${name}: Plain<${type}> = ${JSON.stringify(value)};`);
for (const [kind, name] of Object.entries(kinds)) {
    const folder = name.toLowerCase();
    lines.push(`import type * as ${name} from '@grafana/schema/dist/esm/raw/composable/${folder}/panelcfg/x/${name}PanelCfg_types.gen';`);
}
say('dashboard', 'Dashboard', dashboard);
const ids = new Set();
const taken = [];
for (const panel of dashboard.panels) {
    const { id, type, title, gridPos, fieldConfig, options, targets } = panel;
    if (ids.has(id)) problems.push(`two panels are number ${id}`);
    ids.add(id);
    for (const other of taken) {
        const apart = (from, size) => gridPos[from] + gridPos[size] <= other[from] || other[from] + other[size] <= gridPos[from];
        if (!apart('x', 'w') && !apart('y', 'h')) problems.push(`${title} lies over another panel`);
    }
    taken.push(gridPos);
    if (gridPos.x + gridPos.w > 24) problems.push(`${title} is wider than the page`);
    if (type === 'row') {
        say(`row${id}`, 'RowPanel', panel);
        continue;
    }
    if (!kinds[type]) {
        problems.push(`nobody knows the types of ${type}, of the panel ${title}`);
        continue;
    }
    say(`panel${id}`, 'Panel', panel);
    say(`options${id}`, `${kinds[type]}.Options`, options);
    say(`field${id}`, 'FieldConfig', fieldConfig.defaults);
    // Those of `bargauge` and `stat` have nothing of their own.
    if (fieldConfig.defaults.custom) say(`custom${id}`, `${kinds[type]}.FieldConfig`, fieldConfig.defaults.custom);
    say(`targets${id}`, 'Query[]', targets);
}
for (const variable of dashboard.templating.list) say(`variable_${variable.name}`, `NonNullable<NonNullable<Dashboard['templating']>['list']>[number]`, variable);

const folder = join(tools, 'check');
mkdirSync(folder, { recursive: true });
const source = join(folder, 'dashboard.ts');
writeFileSync(source, lines.join('\n'));
const { ModuleKind, ModuleResolutionKind, ScriptTarget } = ts;
const program = ts.createProgram([source], {
    module: ModuleKind.ESNext, moduleResolution: ModuleResolutionKind.Bundler, target: ScriptTarget.ESNext, noEmit: true, skipLibCheck: true, strict: true, types: [],
});
for (const { file: where, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const at = where ? lines[where.getLineAndCharacterOfPosition(start).line].slice(0, 60) : '';
    problems.push(`${at}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`.slice(0, 500));
}
problems.forEach((problem) => console.log(problem));
console.log(`${ids.size} panels, ${problems.length} problems`);
process.exit(problems.length ? 1 : 0);
