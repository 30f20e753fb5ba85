package repo

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

const (
	// maxQuery is how much of a query is read, in bytes, and maxAsked how
	// many of its words count.
	maxQuery, maxAsked = 1 << 10, 8
	// maxWord is where a word is cut, in letters; maxText where a text is, in
	// bytes.
	maxWord, maxText = 64, 64 << 10
)

// indexed are the words of a text. One with an apostrophe is also there in
// its parts: "l'été" is found by "lete" and by "ete".
func indexed(text string) []string { return split(text, maxText, true) }

// asked are the words of a query, each once.
func asked(query string) []string {
	var out []string
	for _, w := range split(query, maxQuery, false) {
		if !slices.Contains(out, w) && len(out) < maxAsked {
			out = append(out, w)
		}
	}
	return out
}

// split takes a text apart into runs of letters and digits, folded. Han and
// kana, which are written without spaces, are a word each. What it gives is
// plain to any tokeniser, and has no meaning in FTS5's language.
func split(text string, most int, parts bool) (out []string) {
	var w []rune
	var cuts []int // where w had an apostrophe
	flush := func() {
		if len(w) == 0 {
			cuts = nil
			return
		}
		out = append(out, string(w[:min(len(w), maxWord)]))
		if cuts = append(cuts, len(w)); parts && len(cuts) > 1 {
			from := 0
			for _, to := range cuts {
				if from < to {
					out = append(out, string(w[from:min(to, from+maxWord)]))
				}
				from = to
			}
		}
		w, cuts = w[:0], nil
	}
	for _, r := range norm.NFKD.String(strings.ToValidUTF8(text[:min(len(text), most)], " ")) {
		switch {
		case unicode.Is(unicode.M, r): // accents
		case r == '\'' || r == '’' || r == '‘' || r == 'ʼ' || r == '`' || r == '´':
			cuts = append(cuts, len(w))
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) && unicode.IsLetter(r):
			flush()
			out = append(out, string(r))
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			w = append(w, fold(r)...)
		default:
			flush()
		}
	}
	flush()
	return out
}

// fold is a letter, taken apart by NFKD and without its accents, as it is
// compared. The four i of Turkish are one letter, as its speakers type it on
// any keyboard; ß is ss. An umlaut is its vowel alone: "ä" is not taken for
// "ae", which would find Aerosmith in "Ärzte"; in words of five letters and
// more the second letter is one edit.
func fold(r rune) []rune {
	switch r = unicode.ToLower(r); r {
	case 'ı':
		return []rune("i")
	case 'ß':
		return []rune("ss")
	case 'æ':
		return []rune("ae")
	case 'œ':
		return []rune("oe")
	case 'ø':
		return []rune("o")
	case 'đ', 'ð':
		return []rune("d")
	case 'þ':
		return []rune("th")
	case 'ł':
		return []rune("l")
	case 'ħ':
		return []rune("h")
	case 'ς':
		return []rune("σ")
	}
	return []rune{r}
}

// pad marks a word's ends.
func pad(w string) string { return "_" + w + "_" }

// minEdited is the least length of a word that may be misspelt.
const minEdited = 5

// apart are two trigrams of the padded word, of which every word one edit away
// has one: an edit touches at most two neighbouring letters, so at most four
// trigrams in a row, and these are four apart. They come from the middle, where
// trigrams are rarest. nil for a word that is too short to be misspelt.
func apart(w string) []string {
	n := len([]rune(w))
	if n < minEdited {
		return nil
	}
	p := []rune(pad(w)) // n trigrams
	i := (n - minEdited) / 2
	return []string{string(p[i : i+3]), string(p[i+4 : i+7])}
}

// oneEdit tells whether the Damerau-Levenshtein distance of a and b is one.
func oneEdit(a, b string) bool {
	s, t := []rune(a), []rune(b)
	if len(s) > len(t) {
		s, t = t, s
	}
	if len(t)-len(s) > 1 {
		return false
	}
	for len(s) > 0 && s[0] == t[0] {
		s, t = s[1:], t[1:]
	}
	for len(s) > 0 && s[len(s)-1] == t[len(t)-1] {
		s, t = s[:len(s)-1], t[:len(t)-1]
	}
	switch len(t) {
	case 1:
		return true // one too many, or another
	case 2:
		return len(s) == 2 && s[0] == t[1] && s[1] == t[0]
	}
	return false
}
