// Package playnode publishes sealed music under a name that only its DJ can
// sign, carries it peer to peer over IPFS, and plays it without gaps on a box
// that the venue owns, for as long as the DJ's lease unlocks it.
//
// The house has floors; a room may use the rooms below it, never those above
// or beside it, and deps_test.go holds the walls:
//
//	6  cmd/playnode           flags, exit codes, the socket's client
//	5  testnet                the roles, told by a script
//	   web                    pages, of what they are given
//	4  daemon                 the composition root
//	3  publisher player archivist     the three journeys
//	2  lease follow live      terms and keys; a name in, verified heads out; a set on air
//	1½ fetch                  which block, for what, by when, from whom
//	   meet                   the followers of a name find one another
//	1  manifests ipns node    signed records; names; blocks and peers
//	   internal/audio internal/seal internal/repo
//
// The way of the data, once, forwards: file → publisher (ingest, analyse,
// seal, dag) → manifests.Sign → ipns → node → follow → fetch → lease.Open →
// player (deck, mix, sink).
package playnode
