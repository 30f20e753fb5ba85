// Package music is the demo's own record: one continuous piece, composed by
// package piece and cut in mid-note into three tracks, a FLAC and two mp3, so
// that a join which is not exact is heard at once.
//
// Nothing comes in; the encoded files go out, as committed. `make music` renders
// them anew.
package music

import (
	"embed"
	"io/fs"
)

//go:generate go run ./render

//go:embed *.flac *.mp3
var files embed.FS

// Files returns the tracks; their names sort in playing order.
func Files() fs.FS { return files }
