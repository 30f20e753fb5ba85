package playnode

import (
	"go/build"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A wall is a rule about imports: no package below from may reach, directly
// or through others, anything that begins with one of never, except what
// begins with one of but. With itself, only its own imports count: it drives
// who may.
type wall struct {
	from   string
	never  []string
	but    []string
	why    string
	itself bool
}

var walls = []wall{
	{"manifests", []string{"playnode/"}, []string{"playnode/manifests"}, "records are bytes and signatures; every room reads them, so they read none", false},
	{"ipns", []string{"playnode/"}, []string{"playnode/ipns"}, "a name is a key and a record; who carries it is its Router's business", false},
	{"ipns", []string{"github.com/libp2p/go-libp2p-", "github.com/libp2p/go-libp2p"}, []string{"github.com/libp2p/go-libp2p/core", "github.com/libp2p/go-libp2p-record"}, "libp2p is seen only as keys, peer ids and records", false},
	{"node", []string{"playnode/"}, []string{"playnode/node"}, "the floor that all stand on stands on nobody", false},
	{"internal/seal", []string{"playnode/"}, []string{"playnode/internal/seal"}, "ciphers know no records", false},
	{"internal/audio", []string{"playnode/"}, []string{"playnode/internal/audio"}, "sound knows no network and no keys", false},
	{"internal/repo", []string{"playnode/"}, []string{"playnode/internal/repo"}, "the directory satisfies the roles' stores structurally", false},
	{"fetch", []string{"playnode/"}, []string{"playnode/fetch", "playnode/node"}, "the scheduler knows blocks and deadlines, not what is in them", false},
	{"fetch", []string{"github.com/libp2p/", "github.com/ipfs/boxo"}, nil, "the scheduler runs in a simulated world; it may not need a real one", false},
	{"meet", []string{"playnode/"}, []string{"playnode/meet", "playnode/node"}, "who meets whom needs a name's text and a peer's record, and no more", false},
	{"lease", []string{"playnode/"}, []string{"playnode/lease", "playnode/manifests", "playnode/internal/seal"}, "terms are decided offline, from bytes alone", false},
	{"follow", []string{"playnode/"}, []string{"playnode/follow", "playnode/manifests", "playnode/ipns", "playnode/node", "playnode/fetch"}, "what is followed is verified and held without any key", false},
	{"live", []string{"playnode/"}, []string{"playnode/live", "playnode/manifests", "playnode/node", "playnode/fetch"}, "who carries a set needs no key and knows no role", false},
	{"live", []string{"playnode/lease", "playnode/internal/seal", "playnode/internal/audio", "filippo.io/age", "github.com/libp2p/"}, nil, "relays need no key, and run in a simulated world", false},
	{"archivist", []string{"playnode/lease", "playnode/internal/seal", "playnode/internal/audio", "filippo.io/age"}, nil, "an archivist has no code path to a key", false},
	{"archivist", []string{"playnode/"}, []string{"playnode/archivist", "playnode/follow", "playnode/ipns", "playnode/manifests", "playnode/node", "playnode/fetch", "playnode/live"}, "an archivist is a follower with patience, and nothing more", false},
	{"publisher", []string{"playnode/follow", "playnode/player", "playnode/archivist", "playnode/daemon", "playnode/internal/repo"}, nil, "the journey out never looks at the journey in", false},
	{"publisher/icecast", []string{"playnode/", "github.com/libp2p/", "github.com/ipfs/"}, []string{"playnode/publisher/icecast", "playnode/internal/audio"}, "who lets strangers' programs in has no key, and no network beyond its listener", false},
	{"publisher/exchange", []string{"playnode/", "github.com/"}, []string{"playnode/publisher/exchange"}, "strangers' playlists are read where there is no key, no file and no network", false},
	{"player", []string{"playnode/publisher", "playnode/archivist", "playnode/daemon", "playnode/internal/repo"}, nil, "the journey in never looks at the journey out", false},
	{"player/schedule", []string{"playnode/"}, []string{"playnode/player/schedule"}, "what plays when is told from a clock and a zone, and knows no music", false},
	{"daemon", []string{"playnode/cmd", "playnode/testnet", "playnode/web"}, nil, "the composition root is driven, and drives nobody above it", false},
	{"web", []string{"playnode/"}, []string{"playnode/web", "playnode/internal/audio"}, "pages see the roles by interfaces of their own", false},
	{"testnet", []string{"playnode/cmd", "playnode/web", "playnode/publisher", "playnode/player", "playnode/lease", "playnode/internal/repo"}, nil, "scenarios drive the roles as users do: by the daemon's client or the binary", true},
}

// direct are imports that only the named packages may write themselves,
// whatever they reach through others.
var direct = []struct {
	path string
	only []string
	why  string
}{
	{"playnode/internal/repo", []string{"daemon", "cmd/playnode"}, "roles declare the store they need; the root hands it over"},
	{"playnode/cmd", nil, "the command line is imported by none"},
	{"text/template", nil, "templates call methods by names that they read: the program would keep every method of every type"},
	{"html/template", nil, "templates call methods by names that they read: the program would keep every method of every type"},
	{"github.com/spf13/viper", []string{"internal/repo"}, "the rest of the house sees a validated Config"},
	{"modernc.org/sqlite", []string{"internal/repo"}, "one database, one room"},
	{"filippo.io/age", []string{"internal/seal"}, "ciphers are touched in one room"},
	{"golang.org/x/crypto/chacha20poly1305", []string{"internal/seal"}, "ciphers are touched in one room"},
	{"crypto/hpke", []string{"internal/seal"}, "ciphers are touched in one room"},
	{"github.com/libp2p/go-libp2p", []string{"node/embedded", "bench/stock"}, "boxo and libp2p stay behind our small interfaces"},
	{"github.com/libp2p/go-libp2p-kad-dht", []string{"node/embedded", "bench/stock"}, "boxo and libp2p stay behind our small interfaces"},
	{"github.com/libp2p/go-libp2p-pubsub", []string{"node/embedded", "bench/stock"}, "boxo and libp2p stay behind our small interfaces"},
	{"github.com/ipfs/boxo/bitswap", []string{"node/embedded"}, "boxo and libp2p stay behind our small interfaces"},
	{"github.com/ipfs/boxo/pinning/remote", []string{"node/pinning"}, "a Pinning Service is asked in one room"},
	{"github.com/ipfs/kubo", []string{"node/kubo"}, "an attached Kubo is one kind of node"},
	{"github.com/rickar/cal", []string{"player/schedule"}, "whose dates of holidays these are is one room's choice"},
	{"github.com/hajimehoshi/go-mp3", []string{"internal/audio/gomp3"}, "a decoder that can panic lives in its own cell"},
	{"github.com/jfreymuth/vorbis", []string{"internal/audio/vorbis"}, "a decoder that can panic lives in its own cell"},
	{"github.com/pion/opus", []string{"internal/audio/opus"}, "a decoder that can panic lives in its own cell"},
}

// pkgs lists our packages by their path below the module, each with what it
// imports itself and all that it reaches.
func pkgs(t *testing.T) map[string]struct{ imports, deps []string } {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}|{{join .Imports " "}}|{{join .Deps " "}}`, "./...").Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	all := map[string]struct{ imports, deps []string }{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 3 {
			t.Fatalf("list packages: strange line %q", line)
		}
		all[strings.TrimPrefix(f[0], "playnode/")] = struct{ imports, deps []string }{strings.Fields(f[1]), strings.Fields(f[2])}
	}
	return all
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") ||
		strings.HasSuffix(prefix, "-") && strings.HasPrefix(path, prefix)
}

func anyUnder(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return under(path, p) })
}

func TestWalls(t *testing.T) {
	all := pkgs(t)
	for _, w := range walls {
		seen := false
		for name, p := range all {
			if !under(name, w.from) {
				continue
			}
			seen = true
			reach := p.deps
			if w.itself {
				reach = p.imports
			}
			for _, d := range reach {
				if anyUnder(d, w.never) && !anyUnder(d, w.but) {
					t.Errorf("%s reaches %s: %s", name, d, w.why)
				}
			}
		}
		if !seen {
			t.Errorf("wall around %s encloses no package", w.from)
		}
	}
	for name, p := range all {
		for _, d := range direct {
			if slices.ContainsFunc(p.imports, func(i string) bool { return under(i, d.path) }) && !anyUnder(name, d.only) && !under(d.path, "playnode/"+name) {
				if d.path == "github.com/libp2p/go-libp2p" && slices.IndexFunc(p.imports, func(i string) bool {
					return under(i, d.path) && !under(i, d.path+"/core")
				}) < 0 {
					continue // keys, peer ids and addresses are data
				}
				t.Errorf("%s imports %s: %s", name, d.path, d.why)
			}
		}
	}
}

// TestSiblings keeps sub-packages of one room from leaning on each other.
func TestSiblings(t *testing.T) {
	for name, p := range pkgs(t) {
		room, ok := strings.CutPrefix(name, "node/")
		if !ok {
			continue
		}
		for _, i := range p.imports {
			if other, ok := strings.CutPrefix(i, "playnode/node/"); ok && !under(other, room) { // a cell of its own is no sibling
				t.Errorf("%s imports %s: implementations of node stand alone", name, i)
			}
		}
	}
}

// TestPackageDocs wants every package to say what it is.
func TestPackageDocs(t *testing.T) {
	for name := range pkgs(t) {
		dir := "./" + strings.TrimPrefix(name, "playnode")
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			if _, none := err.(*build.NoGoError); none {
				continue
			}
			t.Fatal(err)
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", name)
		}
	}
}

// A box may have no time zones of its own.
func TestZonesAreBuiltIn(t *testing.T) {
	if !slices.Contains(pkgs(t)["cmd/playnode"].deps, "time/tzdata") {
		t.Error("the program has no time zones of its own")
	}
}
