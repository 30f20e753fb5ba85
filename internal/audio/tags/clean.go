package tags

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxText is the longest string that Clean returns, in bytes.
const MaxText = 512

// Clean makes a string fit to be signed and shown: valid UTF-8 (what is not is read as Latin-1) in
// NFC, without control, format and direction characters, lines and runs of space as one space, cut at
// a character's end to at most MaxText bytes.
func Clean(s string) string {
	if len(s) > 16*MaxText {
		s = strings.ToValidUTF8(s[:16*MaxText], "")
	}
	if !utf8.ValidString(s) {
		r := make([]rune, len(s))
		for i := range len(s) {
			r[i] = rune(s[i])
		}
		s = string(r)
	}
	var b strings.Builder
	space := false
	for _, r := range norm.NFC.String(s) {
		switch {
		case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
			space = b.Len() > 0
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200d', r == utf8.RuneError, unicode.Is(unicode.Co, r),
			unicode.Is(unicode.Noncharacter_Code_Point, r):
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	s = norm.NFC.String(b.String()) // what was taken out may let its neighbours compose
	for len(s) > MaxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return strings.TrimRight(s, " ")
}
