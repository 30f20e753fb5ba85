package repo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

func newRepo(t *testing.T) (string, *Repo) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo")
	if err := Create(dir, Config{Network: "none"}); err != nil {
		t.Fatal(err)
	}
	cfg, err := LoadConfig(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return dir, r
}

func TestOpen(t *testing.T) {
	if _, err := Open(t.TempDir(), Config{}); !errors.Is(err, ErrNoRepo) {
		t.Fatalf("open an empty directory: %v", err)
	}
	dir, r := newRepo(t)
	if r.Config.Network != "none" {
		t.Errorf("network %q did not survive init", r.Config.Network)
	}
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrLocked) {
		t.Errorf("open twice: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "version"), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrNewer) {
		t.Errorf("open a newer repo: %v", err)
	}
}

func TestCreateChangesNothing(t *testing.T) {
	dir, r := newRepo(t)
	if err := r.Bucket("a").Put("k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := Create(dir, Config{Network: "public"}); err != nil {
		t.Fatal(err)
	}
	if cfg, err := LoadConfig(dir, nil); err != nil || cfg.Network != "none" {
		t.Errorf("a second init changed the network to %q (%v)", cfg.Network, err)
	}
}

func TestModes(t *testing.T) {
	dir, r := newRepo(t)
	s, err := r.Secrets("s")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put("k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{"": 0o700, "keys": 0o700, "keys/s.json": 0o600, "playnode.db": 0o600, "version": 0o600} {
		st, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", path, got, want)
		}
	}
}

// store is what Bucket and Secrets both promise.
type store interface {
	Get(string) ([]byte, error)
	Put(string, []byte) error
	Delete(string) error
	Apply(map[string][]byte, []string) error
	Each(string, func(string, []byte) error) error
}

// TestStores runs both maps against a Go map, reopening at random.
func TestStores(t *testing.T) {
	dir, r := newRepo(t)
	n := 0
	for kind, open := range map[string]func(name string) store{
		"bucket": func(name string) store { return r.Bucket(name) },
		"secrets": func(name string) store {
			s, err := openSecrets(filepath.Join(dir, "keys", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n++
				name := fmt.Sprint(kind, n)
				s, model := open(name), map[string][]byte{}
				key := rapid.StringMatching(`[ab/\x{e9}]{0,3}`)
				value := rapid.SliceOfN(rapid.Byte(), 0, 4)
				check := func(err error) {
					if err != nil {
						t.Fatal(err)
					}
				}
				t.Repeat(map[string]func(*rapid.T){
					"put": func(t *rapid.T) {
						k, v := key.Draw(t, "k"), value.Draw(t, "v")
						check(s.Put(k, v))
						model[k] = v
					},
					"delete": func(t *rapid.T) {
						k := key.Draw(t, "k")
						check(s.Delete(k))
						delete(model, k)
					},
					"apply": func(t *rapid.T) {
						puts := rapid.MapOfN(key, value, 0, 3).Draw(t, "puts")
						del := rapid.SliceOfN(key, 0, 3).Draw(t, "del")
						check(s.Apply(puts, del))
						for k, v := range puts {
							model[k] = v
						}
						for _, k := range del {
							delete(model, k)
						}
					},
					"reopen": func(*rapid.T) { s = open(name) },
					"": func(t *rapid.T) {
						prefix, got, last := key.Draw(t, "prefix"), 0, ""
						check(s.Each(prefix, func(k string, v []byte) error {
							if got > 0 && k <= last {
								t.Fatalf("%q after %q", k, last)
							}
							if m, ok := model[k]; !ok || string(m) != string(v) || !strings.HasPrefix(k, prefix) {
								t.Fatalf("each %q: %q is %x, want %x", prefix, k, v, m)
							}
							got, last = got+1, k
							return nil
						}))
						want := 0
						for k, v := range model {
							if strings.HasPrefix(k, prefix) {
								want++
							}
							if g, err := s.Get(k); err != nil || g == nil || string(g) != string(v) {
								t.Fatalf("get %q: %x, %v; want %x", k, g, err, v)
							}
						}
						if got != want {
							t.Fatalf("each %q gave %d keys of %d", prefix, got, want)
						}
						if v, err := s.Get("absent"); v != nil || err != nil {
							t.Fatalf("get absent: %x, %v", v, err)
						}
					},
				})
			})
		})
	}
}

func TestEachPages(t *testing.T) {
	_, r := newRepo(t)
	b, puts := r.Bucket("many"), map[string][]byte{}
	for i := range 600 {
		puts[fmt.Sprintf("k%04d", i)] = nil
	}
	if err := b.Apply(puts, nil); err != nil {
		t.Fatal(err)
	}
	got := 0
	if err := b.Each("k", func(k string, _ []byte) error { got++; return b.Delete(k) }); err != nil {
		t.Fatal(err)
	}
	if got != 600 {
		t.Errorf("saw %d of 600 keys", got)
	}
}

func TestDeletedSecretIsInNoFile(t *testing.T) {
	dir, r := newRepo(t)
	const marker = "SECRETMARKER"
	b := r.Bucket("x")
	for _, s := range []store{b, func() store { s, _ := r.Secrets("x"); return s }()} {
		if err := s.Put("k", []byte(marker)); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete("k"); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "keys", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("keys: %v, %v", files, err)
	}
	for _, f := range files {
		if c, err := os.ReadFile(f); err != nil || strings.Contains(string(c), marker) {
			t.Errorf("%s still holds the secret (%v)", f, err)
		}
	}
}

func TestConfigSources(t *testing.T) {
	dir, _ := newRepo(t)
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte("network: lan\nrate: 48000\nsink: null\naudio:\n  mp3: go-mp3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PLAYNODE_RATE", "44100")
	t.Setenv("PLAYNODE_PEER", "/ip4/1.2.3.4/tcp/1/p2p/a, /ip4/1.2.3.4/tcp/2/p2p/b")
	flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
	flags.String("network", "public", "")
	if err := flags.Parse([]string{"--network", "none"}); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(dir, flags)
	if err != nil {
		t.Fatal(err)
	}
	if c.NameLife != 30*24*time.Hour {
		t.Errorf("a name's record lives %v unless told otherwise", c.NameLife)
	}
	if c.Network != "none" || c.Rate != 44100 || len(c.Peers) != 2 || c.LogLevel != "info" {
		t.Errorf("flag, environment, file and default gave %+v", c)
	}
	for name, text := range map[string]string{"unknown key": "netwrok: lan\n", "bad value": "network: moon\n", "no duration": "name-life: long\n", "too short": "name-life: 1h\n", "too long": "name-life: 400d\n", "no YAML": "\t:"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadConfig(dir, nil); err == nil {
			t.Errorf("%s passed", name)
		}
	}
}

// TestAllow: a list of peers, some in files; an empty file is no list of
// everyone.
func TestAllow(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("config.yaml", "allow: [c, '@fleet.txt', a]\nrelay: true\nreach: public\n")
	write("fleet.txt", "# the boxes\nb  # bar\n\n a\n")
	c, err := LoadConfig(dir, nil)
	if err != nil || !slices.Equal(c.Allow, []string{"a", "b", "c"}) || !c.Relay || c.Reach != "public" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{"# nobody yet\n", ""} {
		write("fleet.txt", text)
		if _, err := LoadConfig(dir, nil); err == nil {
			t.Errorf("%q passed for a list", text)
		}
	}
	for _, text := range []string{"allow: '@absent.txt'\n", "reach: perhaps\n"} {
		write("config.yaml", text)
		if _, err := LoadConfig(dir, nil); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}

func TestSocketPath(t *testing.T) {
	if p := SocketPath("/r"); p != "/r/sock" {
		t.Errorf("short: %s", p)
	}
	long := "/" + strings.Repeat("x", 100)
	t.Setenv("XDG_RUNTIME_DIR", "/run/u")
	if p := SocketPath(long); len(p) > maxSocketPath || !strings.HasPrefix(p, "/run/u/") {
		t.Errorf("long: %s", p)
	}
}
