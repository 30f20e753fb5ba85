package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Document is one thing to be found, by the words of its texts. Documents
// that are equal are one.
type Document struct {
	// Owner and ID are what it is known by elsewhere; few have an ID in common.
	Owner, ID string
	// Title, Artist, Album and Tags are searched; a word in one of them
	// counts for more than in those after it.
	Title, Artist, Album, Tags string
	// Ms is told again with a hit.
	Ms int64
}

func (d *Document) texts() [4]string { return [4]string{d.Title, d.Artist, d.Album, d.Tags} }

// Match is how near a hit is.
type Match int

// Nearer ones come first.
const (
	// Exact: every word is there as it was asked for, accents and case apart.
	Exact Match = iota
	// Prefix: every word is the beginning of one that is there.
	Prefix
	// OneEdit: words of five letters and more are also one edit away from one
	// that is there: a letter too many, too few or wrong, or two that changed
	// places.
	OneEdit
)

func (m Match) String() string { return [...]string{"exact", "prefix", "edit"}[m] }

// Hit is a document that was found.
type Hit struct {
	Document
	Match Match
	// Scopes are those that have it, sorted.
	Scopes []string
}

// Index searches documents by their words. It is SQLite's FTS5 in memory: it
// writes no file, temporary ones included, and Close leaves nothing. What is
// dropped is overwritten. Safe for concurrent use: one call works at a time.
type Index struct {
	mu     sync.Mutex // guards what follows
	db     *sql.DB
	conn   *sql.Conn // the only one: the index is its memory
	scopes map[string]map[*docRow]struct{}
	docs   map[string]*docRow // by ID, the first of those that have it
	byRow  map[int64]*docRow
	words  map[string]*wordRow
	spelt  map[int64]string // words by their row
	next   int64
}

// docRow is a document. There are tens of thousands, in the memory of a box that
// has little: what is seldom asked for is reckoned then.
type docRow struct {
	*Document
	id   int64
	in   int     // how many scopes have it
	next *docRow // has the same ID
}

type wordRow struct {
	id   int64
	docs int // how many have it
}

// How much a word counts in title, artist, album and tags: so far apart that
// bm25 brings a title before an artist of whatever length.
const weights = "bm25(100.0, 10.0, 1.0, 0.1)"

// pending is how many bytes of new entries FTS5 keeps by themselves before it
// writes them: what it takes at its height stays taken. A MiB is usual.
const pending = "131072"

// NewIndex makes an empty one. The caller closes it.
func NewIndex(ctx context.Context) (*Index, error) {
	q := url.Values{"_pragma": {"temp_store(MEMORY)", "secure_delete(ON)"}}
	db, err := sql.Open("sqlite", "file::memory:?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open search index: %w", err)
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open search index: %w", err), db.Close())
	}
	for _, s := range []string{
		// A page is kept with what SQLite notes beside it in a power of two: one of
		// 4 KiB takes 8, and one of 16 takes its own pages of the system's, 20.
		`PRAGMA page_size=16384`,
		// What an index of one segment was merged from is given back.
		`PRAGMA auto_vacuum=FULL`,
		// The texts themselves are in docs alone.
		`CREATE VIRTUAL TABLE track USING fts5(title, artist, album, tags, content='', contentless_delete=1,
			tokenize='unicode61 remove_diacritics 2', prefix='1 2 3')`,
		`INSERT INTO track(track, rank) VALUES ('rank', '` + weights + `'), ('hashsize', ` + pending + `)`,
		`CREATE VIRTUAL TABLE word USING fts5(padded, content='', contentless_delete=1, tokenize='trigram', detail=none)`,
		`INSERT INTO word(word, rank) VALUES ('hashsize', ` + pending + `)`,
	} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return nil, errors.Join(fmt.Errorf("make search index: %w", err), conn.Close(), db.Close())
		}
	}
	return &Index{
		db: db, conn: conn, scopes: map[string]map[*docRow]struct{}{}, docs: map[string]*docRow{}, byRow: map[int64]*docRow{},
		words: map[string]*wordRow{}, spelt: map[int64]string{},
	}, nil
}

// Close forgets everything.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return errors.Join(x.conn.Close(), x.db.Close())
}

// Drop empties a scope: what no other has is forgotten.
func (x *Index) Drop(ctx context.Context, scope string) error { return x.Replace(ctx, scope, nil) }

// Replace gives a scope other documents, all of them or, with an error, none.
// What it has in common with the present ones costs next to nothing. The
// documents are the index's from then on, and change no more; in place of one
// that it has already it puts its own into docs.
func (x *Index) Replace(ctx context.Context, scope string, docs []*Document) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, want := x.scopes[scope], make(map[*docRow]struct{}, len(docs))
	c := change{x: x, words: map[string]int{}}
	come := map[Document]*docRow{}
	for _, d := range docs {
		r := x.row(d)
		if r == nil {
			if r = come[*d]; r == nil {
				r = c.add(d)
				come[*d] = r
			}
		}
		want[r] = struct{}{}
	}
	for r := range old {
		if _, stays := want[r]; !stays && r.in == 1 {
			c.remove(r)
		}
	}
	if err := c.write(ctx); err != nil {
		return fmt.Errorf("index %s: %w", scope, err)
	}
	for r := range want {
		if _, was := old[r]; !was {
			r.in++
		}
	}
	for r := range old {
		if _, stays := want[r]; !stays {
			r.in--
		}
	}
	if len(want) > 0 {
		x.scopes[scope] = want
	} else {
		delete(x.scopes, scope)
	}
	for i, d := range docs {
		docs[i] = x.row(d).Document
	}
	return nil
}

// row is that of a document, nil where there is none.
func (x *Index) row(d *Document) *docRow {
	for r := x.docs[d.ID]; r != nil; r = r.next {
		if *r.Document == *d {
			return r
		}
	}
	return nil
}

// having are the scopes that have a document, sorted.
func (x *Index) having(r *docRow) (scopes []string) {
	for s, docs := range x.scopes {
		if _, ok := docs[r]; ok {
			scopes = append(scopes, s)
		}
	}
	slices.Sort(scopes)
	return scopes
}

// change is what one Replace does to the rows.
type change struct {
	x              *Index
	added, removed []*docRow
	texts          [][4]string    // of added, as they are indexed
	words          map[string]int // by how much their documents change
}

func (c *change) add(d *Document) *docRow {
	r := &docRow{Document: d}
	words, texts := wordsOf(d)
	for _, w := range words {
		c.words[w]++
	}
	c.added, c.texts = append(c.added, r), append(c.texts, texts)
	return r
}

func (c *change) remove(r *docRow) {
	words, _ := wordsOf(r.Document)
	for _, w := range words {
		c.words[w]--
	}
	c.removed = append(c.removed, r)
}

// wordsOf are a document's words, each once, and its texts as they are indexed.
func wordsOf(d *Document) (words []string, texts [4]string) {
	for i, t := range d.texts() {
		some := indexed(t)
		words, texts[i] = append(words, some...), strings.Join(some, " ")
	}
	slices.Sort(words)
	return slices.Compact(words), texts
}

// write changes the rows in one transaction, and then what is known of them.
func (c *change) write(ctx context.Context) error {
	x, next := c.x, c.x.next
	if len(c.added)+len(c.removed) == 0 {
		return nil
	}
	tx, err := x.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var come, gone []string
	for w, n := range c.words {
		had := 0
		if r := x.words[w]; r != nil {
			had = r.docs
		}
		if had == 0 && n > 0 {
			come = append(come, w)
		} else if had > 0 && had+n == 0 {
			gone = append(gone, w)
		}
	}
	run := func(query string, n int, args func(i int) []any) {
		if err != nil || n == 0 {
			return
		}
		var s *sql.Stmt
		if s, err = tx.PrepareContext(ctx, query); err != nil {
			return
		}
		defer s.Close()
		for i := 0; i < n && err == nil; i++ {
			_, err = s.ExecContext(ctx, args(i)...)
		}
	}
	// All at once, or in order, which FTS5 deletes many times faster.
	remove := func(table string, ids []int64, of int) {
		if len(ids) == of && of > 0 {
			run(`INSERT INTO `+table+`(`+table+`) VALUES ('delete-all')`, 1, func(int) []any { return nil })
			return
		}
		slices.Sort(ids)
		run(`DELETE FROM `+table+` WHERE rowid=?`, len(ids), func(i int) []any { return []any{ids[i]} })
	}
	var docs, words []int64
	for _, r := range c.removed {
		docs = append(docs, r.id)
	}
	for _, w := range gone {
		words = append(words, x.words[w].id)
	}
	remove("track", docs, len(x.byRow))
	remove("word", words, len(x.words))
	run(`INSERT INTO track(rowid, title, artist, album, tags) VALUES (?,?,?,?,?)`, len(c.added), func(i int) []any {
		next++
		c.added[i].id = next
		t := c.texts[i]
		return []any{next, t[0], t[1], t[2], t[3]}
	})
	ids := make([]int64, len(come))
	run(`INSERT INTO word(rowid, padded) VALUES (?,?)`, len(come), func(i int) []any {
		next++
		ids[i] = next
		return []any{next, pad(come[i])}
	})
	// One segment is searched fastest, and has no trace of what was removed.
	for _, t := range []string{"track", "word"} {
		run(`INSERT INTO `+t+`(`+t+`) VALUES ('optimize')`, 1, func(int) []any { return nil })
	}
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	x.next = next
	for i, w := range come {
		w = strings.Clone(w) // it is a part of a text
		x.words[w], x.spelt[ids[i]] = &wordRow{id: ids[i]}, w
	}
	for w, n := range c.words {
		x.words[w].docs += n
	}
	for _, w := range gone {
		delete(x.spelt, x.words[w].id)
		delete(x.words, w)
	}
	for _, r := range c.removed {
		x.forget(r)
	}
	for _, r := range c.added {
		r.next = x.docs[r.ID]
		x.docs[r.ID], x.byRow[r.id] = r, r
	}
	return nil
}

func (x *Index) forget(r *docRow) {
	delete(x.byRow, r.id)
	first := x.docs[r.ID]
	if first == r {
		if first = r.next; first == nil {
			delete(x.docs, r.ID)
			return
		}
		x.docs[first.ID] = first // the key's bytes are those of a document that stays
		return
	}
	for at := first; ; at = at.next {
		if at.next == r {
			at.next = r.next
			return
		}
	}
}

// Search finds the documents that have all words of query, whatever else is
// in it, at most limit of them: nearer matches first, and among equally near
// ones by bm25 over title, artist, album and tags. It reads the first words of
// a query that is too long for anyone to have typed. A query without a word
// finds nothing.
func (x *Index) Search(ctx context.Context, query string, limit int) ([]Hit, error) {
	asked := asked(query)
	if len(asked) == 0 || limit < 1 {
		return nil, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var hits []Hit
	seen := map[int64]bool{}
	for _, m := range []Match{Exact, Prefix, OneEdit} {
		match, err := x.expression(ctx, asked, m)
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		if match == "" {
			continue
		}
		// Each kind finds again what the nearer ones found.
		ids, err := x.rows(ctx, `SELECT rowid FROM track WHERE track MATCH ? ORDER BY rank LIMIT ?`, match, limit+len(hits))
		if err != nil {
			return nil, fmt.Errorf("search: %w", err)
		}
		for _, id := range ids {
			if r := x.byRow[id]; !seen[id] && len(hits) < limit {
				seen[id] = true
				hits = append(hits, Hit{*r.Document, m, x.having(r)})
			}
		}
		if len(hits) == limit {
			break
		}
	}
	return hits, nil
}

// expression is words in FTS5's language, every one a quoted string of
// letters and digits; "" where this kind of match finds no more than the one
// before.
func (x *Index) expression(ctx context.Context, words []string, m Match) (string, error) {
	var all []string
	more := m != OneEdit
	for _, w := range words {
		e := `"` + w + `"`
		if m >= Prefix {
			e += "*"
		}
		if m == OneEdit {
			near, err := x.near(ctx, w)
			if err != nil {
				return "", err
			}
			for _, n := range near {
				e += ` OR "` + n + `"`
				more = true
			}
		}
		all = append(all, "("+e+")")
	}
	if !more {
		return "", nil
	}
	return strings.Join(all, " AND "), nil
}

// maxNear bounds the words that one word of a query may stand for.
const maxNear = 32

// near are the words here that are one edit from w, commonest first.
func (x *Index) near(ctx context.Context, w string) ([]string, error) {
	grams := apart(w)
	if grams == nil {
		return nil, nil
	}
	ids, err := x.rows(ctx, `SELECT rowid FROM word WHERE word MATCH ?`, `"`+strings.Join(grams, `" OR "`)+`"`)
	if err != nil {
		return nil, err
	}
	var near []string
	for _, id := range ids {
		if s := x.spelt[id]; oneEdit(w, s) {
			near = append(near, s)
		}
	}
	slices.SortFunc(near, func(a, b string) int {
		if d := x.words[b].docs - x.words[a].docs; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return near[:min(len(near), maxNear)], nil
}

// rows are the rows that a query gives.
func (x *Index) rows(ctx context.Context, query string, args ...any) ([]int64, error) {
	rows, err := x.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
