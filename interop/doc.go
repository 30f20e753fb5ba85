// Package interop holds the tests that put our bytes into other people's hands:
// stock Kubo, stock IPFS Cluster, stock age, nginx, Chromium, and npm's readers
// of dag-cbor and HPKE.
//
// The tests carry the build tag interop and are run by `make interop`, which
// builds those tools once and names their directory in PLAYNODE_TOOLS. A tool
// that is missing fails its tests; none is ever skipped.
package interop
