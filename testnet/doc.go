// Package testnet tells the lived scenarios with real processes: a DJ, venues
// and archivists, each a repo of its own and the playnode binary, on loopback.
//
// What comes in: the binary's path. What goes out: what happened, step by
// step, with numbers that were measured in the telling. What is trusted: the
// binary's exit codes and JSON, which are its contract with everyone; no
// scenario has a way in that users have not.
package testnet
