/** How often a property runs: FUZZ_RUNS in the environment raises it. fast-check prints the seed of a failure. */
export const FUZZ_RUNS = Number(process.env.FUZZ_RUNS ?? 1000);
