package repo

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// maxSecrets bounds the file that openSecrets reads.
const maxSecrets = 64 << 20

// Secrets is a small durable map for keys: one file of mode 0600 in the 0700
// directory keys/, rewritten whole at every change, so that what was deleted
// is in no file any more. It has Bucket's methods and promises.
type Secrets struct {
	path string

	mu  sync.Mutex // guards all below and the file
	all map[string][]byte
}

func openSecrets(path string) (*Secrets, error) {
	s := &Secrets{path: path, all: map[string][]byte{}}
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	if st.Size() > maxSecrets {
		return nil, fmt.Errorf("open keys: %s has %d bytes, over the limit of %d", path, st.Size(), maxSecrets)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	defer clear(b)
	if err := json.Unmarshal(b, &s.all); err != nil {
		return nil, fmt.Errorf("open keys %s: %w", path, err)
	}
	return s, nil
}

// Get returns a copy of the value, or nil when there is none.
func (s *Secrets) Get(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.all[key]
	if !ok {
		return nil, nil
	}
	return append([]byte{}, v...), nil
}

// Put sets one value.
func (s *Secrets) Put(key string, value []byte) error {
	return s.Apply(map[string][]byte{key: value}, nil)
}

// Delete removes one value; an absent one is no error.
func (s *Secrets) Delete(key string) error { return s.Apply(nil, []string{key}) }

// Apply does all of it or none. A key in both is deleted.
func (s *Secrets) Apply(puts map[string][]byte, deletes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := make(map[string][]byte, len(s.all)+len(puts))
	for k, v := range s.all {
		next[k] = v
	}
	for k, v := range puts {
		next[k] = append([]byte{}, v...)
	}
	for _, k := range deletes {
		delete(next, k)
	}
	b, err := encodeSecrets(next)
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	err = WriteFile(s.path, b)
	clear(b)
	if err != nil {
		return err
	}
	// What is gone from the file goes from memory.
	for k := range puts {
		clear(s.all[k])
	}
	for _, k := range deletes {
		clear(s.all[k])
	}
	s.all = next
	return nil
}

// encodeSecrets is the map as encoding/json writes it, in one buffer that the
// caller can clear: json.Marshal leaves a copy in a pool.
func encodeSecrets(all map[string][]byte) ([]byte, error) {
	size := 2
	for k, v := range all {
		size += 6*len(k) + base64.StdEncoding.EncodedLen(len(v)) + 6
	}
	b := append(make([]byte, 0, size), '{')
	for i, k := range slices.Sorted(maps.Keys(all)) {
		name, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, name...), ':', '"')
		b = append(base64.StdEncoding.AppendEncode(b, all[k]), '"')
	}
	return append(b, '}'), nil
}

// Each calls f for every key with the prefix, in order, until f returns an
// error, which Each returns. It sees the map as it was at the call; a value is
// f's until f returns.
func (s *Secrets) Each(prefix string, f func(key string, value []byte) error) error {
	s.mu.Lock()
	all := map[string][]byte{}
	for k, v := range s.all {
		if strings.HasPrefix(k, prefix) {
			all[k] = append([]byte{}, v...)
		}
	}
	s.mu.Unlock()
	keys := slices.Sorted(maps.Keys(all))
	for _, k := range keys {
		err := f(k, all[k])
		clear(all[k])
		if err != nil {
			return err
		}
	}
	return nil
}
