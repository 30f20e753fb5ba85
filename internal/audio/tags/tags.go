// Package tags reads what a file says about itself.
//
// What comes in: bytes of ID3, Vorbis comments, RIFF INFO and pictures, all hostile. What goes out:
// short strings of valid UTF-8 in NFC without control or direction characters, and a cover whose
// dimensions were checked before it was ever decoded. Nothing is trusted.
package tags

// Tags is what a file says about itself; absent things are zero.
type Tags struct {
	Title, Artist, Album string
	Disc, Number         int
	// ISRC is the recording's code, 12 characters, or empty.
	ISRC string
	// Cover is a JPEG, PNG, GIF or WebP of at most CoverBudget bytes, CoverType its media type.
	Cover     []byte
	CoverType string
}

// CoverBudget is the largest cover in bytes that is kept; larger ones are scaled down.
const CoverBudget = 256 << 10
