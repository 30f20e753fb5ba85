package repo

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func newIndex(t testing.TB, docs ...Document) *Index {
	t.Helper()
	x, err := NewIndex(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	replace(t, x, "here", docs...)
	return x
}

func replace(t testing.TB, x *Index, scope string, docs ...Document) {
	t.Helper()
	if err := x.Replace(t.Context(), scope, pointers(docs)); err != nil {
		t.Fatal(err)
	}
}

// pointers are to copies, as the index keeps what it is given.
func pointers(docs []Document) (out []*Document) {
	for _, d := range docs {
		out = append(out, &d)
	}
	return out
}

// found are the ids that a query finds, in order, each with its kind of match.
func found(t testing.TB, x *Index, query string) string {
	t.Helper()
	hits, err := x.Search(t.Context(), query, 10)
	if err != nil {
		t.Fatalf("search %.80q: %v", query, err)
	}
	var out []string
	for _, h := range hits {
		out = append(out, h.ID+":"+h.Match.String())
	}
	return strings.Join(out, " ")
}

func wantFound(t testing.TB, x *Index, query, want string) {
	t.Helper()
	if got := found(t, x, query); got != want {
		t.Errorf("%.80q finds %q, want %q", query, got, want)
	}
}

func TestSearchRanks(t *testing.T) {
	x := newIndex(t,
		Document{ID: "tag", Title: "One", Artist: "Two", Album: "Three", Tags: "Queens hall"},
		Document{ID: "album", Title: "Four", Artist: "Five", Album: "Queens"},
		Document{ID: "artist", Title: "Six", Artist: "Queens"},
		Document{ID: "title", Title: "The Dancing Queens of the Northern Lights and All Their Sisters", Artist: "Seven"},
		Document{ID: "longer", Title: "Queensland", Artist: "Eight"},
		Document{ID: "near", Title: "Queans", Artist: "Nine"},
		Document{ID: "other", Title: "Kings", Artist: "Ten"},
	)
	wantFound(t, x, "queens", "title:exact artist:exact album:exact tag:exact longer:prefix near:edit")
	wantFound(t, x, "QUEENS", "title:exact artist:exact album:exact tag:exact longer:prefix near:edit")
	wantFound(t, x, "queensl", "longer:prefix title:edit artist:edit album:edit tag:edit")
	wantFound(t, x, "k", "other:prefix")
	// All words must be there, in whatever field and order.
	wantFound(t, x, "queens six", "artist:exact")
	wantFound(t, x, "six queens", "artist:exact")
	wantFound(t, x, "queens si", "artist:prefix title:prefix")
	wantFound(t, x, "queens zzz", "")
	hits, err := x.Search(t.Context(), "queens", 3)
	if err != nil || len(hits) != 3 || hits[2].ID != "album" {
		t.Errorf("three of them: %+v, %v", hits, err)
	}
	for _, limit := range []int{0, -1} {
		if hits, err := x.Search(t.Context(), "queens", limit); err != nil || len(hits) != 0 {
			t.Errorf("limit %d gives %d, %v", limit, len(hits), err)
		}
	}
}

func TestSearchOneEdit(t *testing.T) {
	x := newIndex(t, Document{ID: "b", Title: "Bohemian Rhapsody"}, Document{ID: "q", Title: "Queen"}, Document{ID: "j", Title: "Jazz"},
		Document{ID: "i", Title: "İstanbul"}, Document{ID: "m", Title: "Москва"})
	for query, want := range map[string]string{
		"bohemina": "b:edit", "obhemian": "b:edit", "bhoemian": "b:edit", // places changed
		"bohmian": "b:edit", "ohemian": "b:edit", "bohemia": "b:prefix", // one missing
		"bohemiaan": "b:edit", "xbohemian": "b:edit", "bohemianx": "b:edit", // one too many
		"bohexian": "b:edit", "xohemian": "b:edit", "bohemiax": "b:edit", // another one
		"bohemina rapsody": "b:edit", "bohemina rhapsody": "b:edit",
		"bohemxxn": "", "bohmina": "", // two
		"queem": "q:edit", "qeuen": "q:edit", "queeen": "q:edit", "quxen": "q:edit",
		"qeen": "", "jzaz": "", "jaxz": "", "jazzz": "j:edit", // five letters and more are forgiven
		"istnabul": "i:edit", "мосвка": "m:edit",
	} {
		wantFound(t, x, query, want)
	}
}

// distance is Damerau's and Levenshtein's, from the definition.
func distance(a, b []rune) int {
	const inf = 1 << 20
	d := make([][]int, len(a)+2)
	for i := range d {
		d[i] = make([]int, len(b)+2)
		d[i][0] = inf
	}
	for j := range d[0] {
		d[0][j] = inf
	}
	for i := 0; i <= len(a); i++ {
		d[i+1][1] = i
	}
	for j := 0; j <= len(b); j++ {
		d[1][j+1] = j
	}
	last := map[rune]int{}
	for i := 1; i <= len(a); i++ {
		match := 0
		for j := 1; j <= len(b); j++ {
			k, l, cost := last[b[j-1]], match, 1
			if a[i-1] == b[j-1] {
				cost, match = 0, j
			}
			d[i+1][j+1] = min(d[i][j]+cost, d[i+1][j]+1, d[i][j+1]+1, d[k][l]+(i-k-1)+1+(j-l-1))
		}
		last[a[i-1]] = i
	}
	return d[len(a)+1][len(b)+1]
}

// TestEveryEditIsFound wants the trigrams to miss no word at distance one, and
// the verification to let none further through.
func TestEveryEditIsFound(t *testing.T) {
	word := rapid.StringOfN(rapid.RuneFrom([]rune("abcdé")), 1, 10, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if rapid.Bool().Draw(t, "near") {
			r := []rune(a)
			i := rapid.IntRange(0, len(r)-1).Draw(t, "at")
			switch rapid.IntRange(0, 3).Draw(t, "edit") {
			case 0:
				r = slices.Delete(r, i, i+1)
			case 1:
				r = slices.Insert(r, i, 'x')
			case 2:
				r[i] = 'x'
			case 3:
				if i > 0 {
					r[i-1], r[i] = r[i], r[i-1]
				}
			}
			b = string(r)
		}
		want := distance([]rune(a), []rune(b)) == 1
		if got := oneEdit(a, b); got != want {
			t.Fatalf("%q and %q: %v, want %v", a, b, got, want)
		}
		grams := apart(a)
		if grams == nil {
			if len([]rune(a)) >= 5 {
				t.Fatalf("%q has no trigrams", a)
			}
			return
		}
		if want && !strings.Contains(pad(b), grams[0]) && !strings.Contains(pad(b), grams[1]) {
			t.Fatalf("%q is one edit from %q and has neither of %q", b, a, grams)
		}
	})
}

func TestSearchFolds(t *testing.T) {
	x := newIndex(t,
		Document{ID: "beyonce", Title: "Beyoncé"}, Document{ID: "sigur", Title: "Sigur Rós", Album: "Ágætis byrjun"},
		Document{ID: "strasse", Title: "Straße", Artist: "DIE ÄRZTE"}, Document{ID: "turk", Title: "Işık", Artist: "IŞIN KARACA"},
		Document{ID: "o", Artist: "MØ"}, Document{ID: "el", Title: "ΟΔΟΣ"}, Document{ID: "l'", Title: "L’été indien", Artist: "O'Brien"},
		Document{ID: "ja", Title: "東京の夜"}, Document{ID: "ac", Artist: "AC/DC"}, Document{ID: "wide", Title: "ＡＢＢＡ"},
		Document{ID: "nfd", Title: "Cafe\u0301 del Mar"}, Document{ID: "ko", Title: "한국"},
	)
	for query, ids := range map[string]string{
		"beyonce": "beyonce", "BEYONCÉ": "beyonce", "beyonc\u0065\u0301": "beyonce", "ros": "sigur", "agaetis": "sigur", "ágætis": "sigur",
		"strasse": "strasse", "STRASSE": "strasse", "STRAẞE": "strasse", "arzte": "strasse", "Ärzte": "strasse",
		"ışık": "turk", "isik": "turk", "ISIK": "turk", "IŞIK": "turk", "İŞİK": "turk", "ışın": "turk", "isin": "turk",
		"mo": "o", "mø": "o", "οδος": "el", "οδοσ": "el", "lete": "l'", "été": "l'", "l'ete": "l'", "obrien": "l'", "brien": "l'", "o’brien": "l'",
		"東京": "ja", "夜": "ja", "京都": "", "acdc": "", "ac dc": "ac", "ac/dc": "ac", "abba": "wide", "café": "nfd", "cafe": "nfd", "한": "ko",
		"aerzte": "strasse", // a letter more, in a word that is long enough
	} {
		hits, err := x.Search(t.Context(), query, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range hits {
			got = append(got, h.ID)
		}
		if strings.Join(got, " ") != ids {
			t.Errorf("%q finds %q, want %q", query, got, ids)
		}
	}
}

func TestHostileQueries(t *testing.T) {
	x := newIndex(t, Document{ID: "a", Title: "rock and roll"}, Document{ID: "b", Title: "Near, not far (or title: x)"})
	for query, want := range map[string]string{
		``: "", ` `: "", `"`: "", `""`: "", `*`: "", `'`: "", `(`: "", `^`: "", `-`: "", "\x00": "", `%`: "", "\xff\xfe": "", `"; DROP TABLE track; --`: "",
		`"rock`: "a:exact", `rock"*`: "a:exact", `rock AND`: "a:exact", `AND`: "a:exact", `OR`: "b:exact", `NOT`: "b:exact", `NEAR(`: "b:exact", `NEAR(rock roll)`: "",
		`rock OR far`: "", `title: x`: "b:exact", `{title}: x`: "b:exact", `^rock`: "a:exact", `rock + roll`: "a:exact", `rock - roll`: "a:exact",
		"rock\x00roll": "a:exact", "rock\nroll": "a:exact", `rock' OR '1'='1`: "", `ro*`: "a:prefix", `r* o`: "",
	} {
		wantFound(t, x, query, want)
	}
	for _, r := range []string{"a", "é", `"`, "\x00", "\xff", "a ", "' ", "東", "ﷺ", "*(", "rock "} {
		long := strings.Repeat(r, 1<<20/len(r))
		if _, err := x.Search(t.Context(), long, 10); err != nil {
			t.Errorf("1 MiB of %q: %v", r, err)
		}
	}
	wantFound(t, x, "rock "+strings.Repeat("roll ", 1<<18), "a:exact")
	wantFound(t, x, "rock and roll and rock and roll and rock and roll", "a:exact")
	var many strings.Builder
	for i := range 1 << 17 {
		fmt.Fprintf(&many, "%d ", i)
	}
	if n := len(asked(many.String())); n != maxAsked {
		t.Errorf("%d words of a long query count, want %d", n, maxAsked)
	}
	wantFound(t, x, "rock"+strings.Repeat(" ", maxQuery)+"nothing", "a:exact")
}

func FuzzSearch(f *testing.F) {
	x := newIndex(f, Document{ID: "a", Title: "Bohemian Rhapsody", Artist: "Queen"}, Document{ID: "b", Title: "İstanbul", Tags: "東京"})
	for _, s := range []string{"bohemina", `"`, "NEAR(", "a* OR", "İ", "\x00", "queen rhapsody", "l'été", "ﷺ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if _, err := x.Search(context.Background(), query, 5); err != nil {
			t.Fatalf("%q: %v", query, err)
		}
		for _, w := range asked(query) {
			if strings.ContainsAny(w, "\"\x00 '*") || w == "" || len([]rune(w)) > maxWord {
				t.Fatalf("%q became the word %q", query, w)
			}
		}
		// What is indexed is found by itself.
		x, err := NewIndex(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		if err := x.Replace(context.Background(), "s", []*Document{{ID: "q", Title: query}}); err != nil {
			t.Fatalf("index %q: %v", query, err)
		}
	})
}

// TestScopes shares, replaces and drops.
func TestScopes(t *testing.T) {
	one, two, three := Document{ID: "1", Title: "Alpha"}, Document{ID: "2", Title: "Beta"}, Document{ID: "3", Title: "Gamma"}
	x := newIndex(t)
	replace(t, x, "a", one, two, two)
	replace(t, x, "b", two, three)
	hits, err := x.Search(t.Context(), "beta", 10)
	if err != nil || len(hits) != 1 || !slices.Equal(hits[0].Scopes, []string{"a", "b"}) {
		t.Errorf("shared: %+v, %v", hits, err)
	}
	// Of equal ones all have the index's.
	again := []*Document{{ID: "2", Title: "Beta"}, {ID: "3", Title: "Gamma"}}
	given := slices.Clone(again)
	if err := x.Replace(t.Context(), "b", again); err != nil || again[0] == given[0] || again[0] != x.docs["2"].Document {
		t.Errorf("a document that the index has is there twice (%v)", err)
	}
	if err := x.Drop(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	wantFound(t, x, "alpha", "")
	wantFound(t, x, "alpga", "")
	wantFound(t, x, "beta", "2:exact")
	replace(t, x, "b", three, Document{ID: "2", Title: "Beta, remastered"})
	wantFound(t, x, "beta", "2:exact")
	wantFound(t, x, "remastered", "2:exact")
	wantFound(t, x, "gamma", "3:exact")
	if err := x.Drop(t.Context(), "unknown"); err != nil {
		t.Error(err)
	}
	// An error leaves all as it was.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Replace(ctx, "b", nil); err == nil {
		t.Error("a replacement that was cut off succeeded")
	}
	wantFound(t, x, "gamma", "3:exact")
	replace(t, x, "b", one)
	wantFound(t, x, "alpha", "1:exact")
	wantFound(t, x, "gamma", "")
}

// TestScopesModel replaces at random and wants what a fresh index would find.
func TestScopesModel(t *testing.T) {
	names := []string{"alpha", "alphas", "beta", "gamma", "delta"}
	rapid.Check(t, func(rt *rapid.T) {
		x, err := NewIndex(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		defer x.Close()
		scopes := map[string][]Document{}
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			var docs []Document
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 9), 0, 6).Draw(rt, "docs") {
				docs = append(docs, Document{ID: fmt.Sprint(n % 3), Title: names[n%5], Artist: names[n/2]})
			}
			s := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "scope")
			scopes[s] = docs
			if err := x.Replace(t.Context(), s, pointers(docs)); err != nil {
				rt.Fatal(err)
			}
		}
		for _, q := range append(names, "alpah", "gamm", "d") {
			want := map[Document]bool{}
			for _, docs := range scopes {
				for _, d := range docs {
					for _, w := range []string{d.Title, d.Artist} {
						if strings.HasPrefix(w, q) || len(q) >= 5 && distance([]rune(q), []rune(w)) == 1 {
							want[d] = true
						}
					}
				}
			}
			hits, err := x.Search(t.Context(), q, 100)
			if err != nil {
				rt.Fatal(err)
			}
			for _, h := range hits {
				if !want[h.Document] {
					rt.Fatalf("%q finds %+v", q, h)
				}
			}
			if len(hits) != len(want) {
				rt.Fatalf("%q finds %d, want %d", q, len(hits), len(want))
			}
		}
	})
}

// memory is the database as it lies in memory.
func memory(t testing.TB, x *Index) string {
	t.Helper()
	var b []byte
	err := x.conn.Raw(func(c any) (err error) {
		b, err = c.(interface{ Serialize() ([]byte, error) }).Serialize()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDroppedIsGone looks for what was dropped in the index's own memory, and
// for any of it in files.
func TestDroppedIsGone(t *testing.T) {
	tmp := t.TempDir()
	for _, v := range []string{"TMPDIR", "SQLITE_TMPDIR", "TMP", "TEMP"} {
		t.Setenv(v, tmp)
	}
	x := newIndex(t)
	docs := tracks(2000)
	few, kept := make([]Document, 20), make([]Document, 20)
	for i := range few {
		few[i] = Document{ID: fmt.Sprint("few", i), Title: fmt.Sprintf("ω%dzyzzyva", i)}
		kept[i] = Document{ID: fmt.Sprint("kept", i), Title: fmt.Sprintf("ψ%dquokka", i)}
	}
	replace(t, x, "few", few...)
	replace(t, x, "kept", kept...)
	replace(t, x, "many", docs...)
	// seen are the words that lie in memory in one piece. Terms are stored
	// without what they share with the one before.
	seen := func(docs []Document) (ends []string) {
		m := memory(t, x)
		for _, d := range docs {
			for _, w := range indexed(d.Title) {
				if end := w[min(len(w), 4):]; len(end) >= 5 && strings.Contains(m, end) {
					ends = append(ends, end)
				}
			}
		}
		return ends
	}
	if a, b, c := len(seen(few)), len(seen(kept)), len(seen(docs)); a < 10 || b < 10 || c < 1000 {
		t.Fatalf("the look into memory is blind: it sees %d, %d and %d words", a, b, c)
	}
	for scope, gone := range map[string][]Document{"few": few, "many": docs} {
		if err := x.Drop(t.Context(), scope); err != nil {
			t.Fatal(err)
		}
		if left := seen(gone); len(left) > 0 {
			t.Errorf("%d words outlived their scope: %.5q", len(left), left)
		}
	}
	if len(seen(kept)) < 10 {
		t.Error("what was kept is gone")
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("files were made: %v, %v", left, err)
	}
	rows, err := x.conn.QueryContext(t.Context(), `PRAGMA database_list`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		var name string
		var file sql.NullString
		if err := rows.Scan(&n, &name, &file); err != nil || file.String != "" {
			t.Errorf("the index has the file %q (%v)", file.String, err)
		}
	}
}

// tracks are n tracks of random words.
func tracks(n int) []Document {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string { return strconv.FormatUint(1<<40+r.Uint64N(1<<45), 36) }
	out := make([]Document, n)
	for i := range out {
		out[i] = Document{ID: fmt.Sprint(i), Title: word() + " " + word(), Artist: word()}
	}
	return out
}

// TestTheIndexTakesNoRoomThatItDoesNotNeed: what its one segment was merged from
// is given back.
func TestTheIndexTakesNoRoomThatItDoesNotNeed(t *testing.T) {
	x := newIndex(t)
	var docs []*Document
	for _, d := range tracks(1000) {
		docs = append(docs, &d)
	}
	for i, some := range [][]*Document{docs[:900], docs[900:]} {
		if err := x.Replace(t.Context(), strconv.Itoa(i), some); err != nil {
			t.Fatal(err)
		}
	}
	for ask, want := range map[string]bool{`PRAGMA freelist_count`: false, `PRAGMA page_count`: true} {
		if n, err := x.rows(t.Context(), ask); err != nil || len(n) != 1 || (n[0] > 0) != want {
			t.Errorf("%s: %d (%v)", ask, n, err)
		}
	}
}
