// Package testnet tells the lived scenarios with real processes: a DJ, venues
// and archivists, each a repo of its own and the playnode binary.
//
// Most stories are of peers on loopback. Those of swarms and of a set on air
// run in a world of package netns, where each box has a line with a rate and a
// delay, and some cannot be dialled: on Linux, as root; elsewhere they are left
// out, and say so.
// Package sim tells the same of hundreds of venues on a virtual clock, in a test
// that "make swarm" runs: what is virtual there is time and the lines, and what
// fetches and carries are the real packages fetch and live. Package ear hears a
// set, whoever carries it.
//
// What comes in: the binary's path. What goes out: what happened, step by
// step, with numbers that were measured in the telling. What is trusted: the
// binary's exit codes and JSON, which are its contract with everyone, and the
// kernel's counts of what went over a line; no scenario has a way in that users
// have not.
package testnet
