package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

// port is where every peer of a carrier listens.
const port = 4001

// carrier brings a folder of music from the first box of a world to others.
type carrier interface {
	// seed has the first box hold music and serve it.
	seed(at *netns.Box, music string) error
	// enter starts what box i runs, i being at least 1, and connects it to those
	// that entered before and are in know.
	enter(i int, at *netns.Box, know []int) error
	// fetch returns when box i holds all on its disk.
	fetch(i int) error
	// twice is how many bytes box i received that it had already, by its own
	// account; it may end what runs there.
	twice(i int) (int64, error)
	// close ends everything.
	close()
}

// carriers are the contenders by name; each call makes new ones. With udp they
// speak QUIC as well where they do unless told otherwise.
func (r *runner) carriers(dir string, udp bool) map[string]carrier {
	return map[string]carrier{
		"playnode":   &ours{r: r, udp: udp, dir: filepath.Join(dir, "playnode")},
		"Kubo":       &kubos{r: r, udp: udp, dir: filepath.Join(dir, "kubo")},
		"BitTorrent": &torrents{r: r, dir: filepath.Join(dir, "torrent")},
		"HTTP":       &plain{r: r, dir: filepath.Join(dir, "http")},
	}
}

// carrierNames are in the order of the page.
var carrierNames = []string{"playnode", "Kubo", "BitTorrent", "HTTP"}

// ours is playnode's daemons.
type ours struct {
	r       *runner
	udp     bool
	dir     string
	mu      sync.Mutex // guards daemons
	boxes   map[int]box.Box
	daemons map[int]*box.Daemon
	name    string
}

func (o *ours) box(i int, at *netns.Box) box.Box {
	return box.Box{Program: o.r.Playnode, Repo: filepath.Join(o.dir, strconv.Itoa(i)), Within: at.Within()}
}

func (o *ours) start(i int, b box.Box, at *netns.Box, peers []int) error {
	args := listenOn(at, port)
	if !o.udp {
		args = args[:2]
	}
	o.mu.Lock()
	for _, p := range peers {
		args = append(args, knowing(o.daemons[p].Addrs)...)
	}
	o.mu.Unlock()
	d, err := b.Start(o.r.ctx, args...)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.daemons[i], o.boxes[i] = d, b
	return nil
}

// listenAt is the address that a program in the box listens at.
func listenAt(at *netns.Box) string { return at.Addr().String() }

// seed publishes the music once for all runs: analysing it is not what is
// measured.
func (o *ours) seed(at *netns.Box, music string) error {
	o.daemons, o.boxes = map[int]*box.Daemon{}, map[int]box.Box{}
	b := box.Box{Program: o.r.Playnode, Repo: music + ".dj"}
	if _, err := os.Stat(b.Repo); err != nil {
		if err := b.JSON(o.r.ctx, nil, "init", "--network", "none"); err != nil {
			return err
		}
		if err := b.JSON(o.r.ctx, nil, "publish", music); err != nil {
			return err
		}
	}
	var id struct{ Name string }
	if err := b.JSON(o.r.ctx, &id, "id"); err != nil {
		return err
	}
	o.name = id.Name
	b.Within = at.Within()
	return o.start(0, b, at, nil)
}

func (o *ours) enter(i int, at *netns.Box, know []int) error {
	b := o.box(i, at)
	if err := b.JSON(o.r.ctx, nil, "init", "--network", "none"); err != nil {
		return err
	}
	return o.start(i, b, at, know)
}

func (o *ours) fetch(i int) error {
	o.mu.Lock()
	b := o.boxes[i]
	o.mu.Unlock()
	var f struct{ Tracks, Held, Missing int }
	if err := b.JSON(o.r.ctx, &f, "follow", o.name, "--once", "--timeout", "10m"); err != nil {
		return err
	}
	if f.Held != f.Tracks || f.Tracks == 0 {
		return fmt.Errorf("follow: %d of %d tracks", f.Held, f.Tracks)
	}
	return nil
}

func (o *ours) twice(i int) (int64, error) {
	var s struct {
		Storage struct{ Used int64 }
		Traffic struct{ Received int64 }
	}
	if err := o.boxes[i].JSON(o.r.ctx, &s, "status"); err != nil {
		return 0, err
	}
	return max(0, s.Traffic.Received-s.Storage.Used), nil
}

func (o *ours) close() {
	var wg sync.WaitGroup
	for _, d := range o.daemons {
		wg.Go(func() { d.Kill() })
	}
	wg.Wait()
	os.RemoveAll(o.dir)
}

// kubos is stock Kubo's daemons.
type kubos struct {
	r       *runner
	udp     bool
	dir     string
	mu      sync.Mutex // guards what follows
	daemons map[int]kubo
	addrs   map[int]string
	stops   []func()
	root    string
}

func (k *kubos) start(i int, at *netns.Box) (kubo, error) {
	listen := []string{fmt.Sprintf("/ip4/%s/tcp/%d", listenAt(at), port)}
	if k.udp { // which it dials first
		listen = []string{fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", listenAt(at), port), listen[0]}
	}
	d, err := k.r.kuboIn(at.Within(), filepath.Join(k.dir, strconv.Itoa(i)), listen...)
	if err != nil {
		return d, err
	}
	if i == 0 && k.root != "" {
		var root strings.Builder
		if err := d.add(&root, "-r", k.root); err != nil {
			return d, err
		}
		k.root = strings.TrimSpace(root.String())
	}
	stop, addr, _, err := d.daemon()
	if err != nil {
		return d, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stops, k.daemons[i], k.addrs[i] = append(k.stops, stop), d, addr
	return d, nil
}

func (k *kubos) seed(at *netns.Box, music string) error {
	k.daemons, k.addrs, k.root = map[int]kubo{}, map[int]string{}, music
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return err
	}
	_, err := k.start(0, at)
	return err
}

func (k *kubos) enter(i int, at *netns.Box, know []int) error {
	d, err := k.start(i, at)
	for _, p := range know {
		k.mu.Lock()
		addr := k.addrs[p]
		k.mu.Unlock()
		if err == nil {
			err = d.run(nil, "swarm", "connect", addr)
		}
	}
	return err
}

func (k *kubos) fetch(i int) error {
	k.mu.Lock()
	d := k.daemons[i]
	k.mu.Unlock()
	return d.run(nil, "pin", "add", k.root)
}

func (k *kubos) twice(i int) (int64, error) {
	var said strings.Builder
	if err := k.daemons[i].run(&said, "bitswap", "stat"); err != nil {
		return 0, err
	}
	return numberAfter(said.String(), "dup data received:")
}

func (k *kubos) close() {
	var wg sync.WaitGroup
	for _, stop := range k.stops {
		wg.Go(stop)
	}
	wg.Wait()
	os.RemoveAll(k.dir)
}

// numberAfter is the first number that follows a word.
func numberAfter(text, word string) (int64, error) {
	_, after, ok := strings.Cut(text, word)
	digits := regexp.MustCompile(`\d+`).FindString(after)
	if !ok || digits == "" {
		return 0, fmt.Errorf("%q is not in what was printed", word)
	}
	return strconv.ParseInt(digits, 10, 64)
}

// plain is a web server, and who downloads from it, hashing and syncing.
type plain struct {
	r      *runner
	dir    string
	music  string
	server *http.Server
	addr   string
	mu     sync.Mutex // guards at
	at     map[int]*netns.Box
}

func (p *plain) seed(at *netns.Box, music string) error {
	l, err := at.Listen("tcp4", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	p.music, p.at, p.addr = music, map[int]*netns.Box{}, fmt.Sprintf("%s:%d", listenAt(at), port)
	p.server = &http.Server{Handler: http.FileServer(http.Dir(music))}
	go p.server.Serve(l)
	return nil
}

func (p *plain) enter(i int, at *netns.Box, know []int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at[i] = at
	return os.MkdirAll(filepath.Join(p.dir, strconv.Itoa(i)), 0o755)
}

func (p *plain) fetch(i int) error {
	client := clientAt(p.at[i])
	defer client.CloseIdleConnections()
	files, err := os.ReadDir(p.music)
	for _, f := range files {
		if err == nil {
			err = download(p.r.ctx, client, fmt.Sprintf("http://%s/%s", p.addr, f.Name()), filepath.Join(p.dir, strconv.Itoa(i), f.Name()))
		}
	}
	return err
}

func (p *plain) twice(int) (int64, error) { return 0, nil }

func (p *plain) close() {
	p.server.Close()
	os.RemoveAll(p.dir)
}

// clientAt asks from a box.
func clientAt(at *netns.Box) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: at.Dial}}
}
