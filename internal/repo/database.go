package repo

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver "sqlite", in pure Go
)

// database is playnode.db: one table of ordered maps. One connection does all
// work; SQLite's own lock would otherwise only move the queue.
type database struct{ sql *sql.DB }

func openDatabase(path string) (*database, error) {
	// Made here first, so that it is never, even briefly, readable by others.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	f.Close()
	q := url.Values{"_pragma": {
		"journal_mode(WAL)",
		"synchronous(FULL)",   // a commit is on disk when it returns
		"secure_delete(ON)",   // what is deleted is overwritten
		"busy_timeout(10000)", // the file may still be closing in a dying process
	}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS entry (
		bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
		PRIMARY KEY (bucket, key)) WITHOUT ROWID`)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return &database{db}, nil
}

func (d *database) close() error {
	if err := d.sql.Close(); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Bucket is a durable ordered map from text keys to bytes. Its methods are
// safe for concurrent use; what a method has written is on disk when it
// returns nil.
type Bucket struct {
	db   *database
	name string
}

// Get returns the value, or nil when there is none.
func (b *Bucket) Get(key string) ([]byte, error) {
	var v []byte
	err := b.db.sql.QueryRow(`SELECT value FROM entry WHERE bucket=? AND key=?`, b.name, key).Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %q: %w", b.name, key, err)
	}
	if v == nil {
		v = []byte{}
	}
	return v, nil
}

// Put sets one value.
func (b *Bucket) Put(key string, value []byte) error {
	return b.Apply(map[string][]byte{key: value}, nil)
}

// Delete removes one value; an absent one is no error.
func (b *Bucket) Delete(key string) error { return b.Apply(nil, []string{key}) }

// Apply does all of it or none, in one transaction. A key in both is deleted.
func (b *Bucket) Apply(puts map[string][]byte, deletes []string) (err error) {
	tx, err := b.db.sql.Begin()
	if err != nil {
		return fmt.Errorf("write %s: %w", b.name, err)
	}
	defer func() {
		if err != nil {
			tx.Rollback()
			err = fmt.Errorf("write %s: %w", b.name, err)
		}
	}()
	put, err := tx.Prepare(`INSERT INTO entry VALUES (?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value`)
	if err != nil {
		return err
	}
	for k, v := range puts {
		if v == nil {
			v = []byte{}
		}
		if _, err = put.Exec(b.name, k, v); err != nil {
			return err
		}
	}
	for _, k := range deletes {
		if _, err = tx.Exec(`DELETE FROM entry WHERE bucket=? AND key=?`, b.name, k); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Each calls f for every key with the prefix, in the order of their bytes,
// until f returns an error, which Each returns. f may use the bucket; what it
// writes ahead of the present key may or may not be seen.
func (b *Bucket) Each(prefix string, f func(key string, value []byte) error) error {
	type row struct {
		key   string
		value []byte
	}
	after, first := prefix, true
	for {
		// Pages, so that neither the one connection nor memory is held
		// while f works.
		cmp := ">"
		if first {
			cmp, first = ">=", false
		}
		rows, err := b.db.sql.Query(`SELECT key, value FROM entry WHERE bucket=? AND key `+cmp+` ? ORDER BY key LIMIT 256`, b.name, after)
		if err != nil {
			return fmt.Errorf("list %s: %w", b.name, err)
		}
		var page []row
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.key, &r.value); err != nil {
				rows.Close()
				return fmt.Errorf("list %s: %w", b.name, err)
			}
			page = append(page, r)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("list %s: %w", b.name, err)
		}
		for _, r := range page {
			if len(r.key) < len(prefix) || r.key[:len(prefix)] != prefix {
				return nil
			}
			if err := f(r.key, r.value); err != nil {
				return err
			}
			after = r.key
		}
		if len(page) < 256 {
			return nil
		}
	}
}
