package manifests

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// MaxLabel is the longest label of a selection, in bytes.
const MaxLabel = 64

// Clean makes s fit for a record and a screen: valid UTF-8 in NFC, without
// control, format and bidirectional characters, runs of space as one and none
// at its ends, at most max bytes. Clean(Clean(s)) == Clean(s).
func Clean(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.C, r) && !unicode.IsSpace(r) && !joiner(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	s = strings.Join(strings.Fields(norm.NFC.String(s)), " ")
	if len(s) <= max {
		return s
	}
	end := max
	for end > 0 && !norm.NFC.PropertiesString(s[end:]).BoundaryBefore() {
		end--
	}
	for end > 0 && s[end]&0xc0 == 0x80 {
		end--
	}
	return strings.TrimRight(s[:end], " ")
}

// joiner tells the two format characters without which some scripts and
// emoji cannot be written.
func joiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// ValidLabel tells whether s can be a selection's label: clean text of 1 to
// MaxLabel bytes without '/'.
func ValidLabel(s string) bool {
	return s != "" && Clean(s, MaxLabel) == s && !strings.Contains(s, "/")
}
