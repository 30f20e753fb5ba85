// Package publisher is the journey out: a DJ's files become sealed tracks,
// signed playlists and a name that points at them.
//
// What comes in: files and folders of the DJ's, and her keys. What goes out:
// blocks, whose sealed bytes anyone may hold, under records that her keys
// sign; and grants, sealed to one device each. What is trusted: the keyring
// and the store behind it; a file is hostile until it has been decoded.
package publisher
