/**
 * The package's programmatic face: configurations, the pipeline over captures, and the errors they throw. The appliance
 * itself is a program (`designator run`); what it offers while it runs is the control API.
 */
export type { CompiledConfig, ConfigProblem } from './config/compiled.js';
export { diffConfigs } from './config/diff.js';
export { loadConfig, parseConfig, readConfig } from './config/load.js';
export { formatProblem } from './config/problem.js';
export { DesignatorError, EXIT, type ErrorCode } from './errors.js';
export type { DropRow, ExplainRow, ServerRow, TunnelRow, VipRow, WorkerRow } from './ops/appliance.js';
export { type ReplayOptions, type ReplayResult, replay } from './roles/replay/replay.js';
