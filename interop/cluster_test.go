//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cluster is a peer of a stock IPFS Cluster, over a Kubo of its own.
type cluster struct {
	b        *bench
	dir      string
	id       string
	swarm    string // where its peers find it
	rest     string // a multiaddr, as ipfs-cluster-ctl takes it
	service  string // the Pinning Service API's URL
	cmd      *exec.Cmd
	done     chan struct{}
	settings map[string]any
}

// cluster makes one with an identity and ports of its own; it does not run yet.
func (b *bench) cluster(name string, over *kubo) *cluster {
	b.Helper()
	c := &cluster{b: b, dir: filepath.Join(b.dir, name)}
	c.run("ipfs-cluster-service", "init", "--consensus", "crdt", "--datastore", "leveldb", "--randomports")
	var id struct{ ID string }
	c.read("identity.json", &id)
	c.read("service.json", &c.settings)
	c.id = id.ID
	listen := c.at("cluster")["listen_multiaddress"].([]any)[0].(string)
	listen = strings.Replace(listen, "0.0.0.0", "127.0.0.1", 1)
	c.at("cluster")["listen_multiaddress"] = []string{listen}
	c.swarm = listen + "/p2p/" + c.id
	c.rest = c.at("api", "restapi")["http_listen_multiaddress"].(string)
	c.service = url(c.at("api", "pinsvcapi")["http_listen_multiaddress"].(string))
	c.at("cluster")["mdns_interval"] = "0s"
	c.at("consensus", "crdt")["rebroadcast_interval"] = "1s"
	c.at("api", "pinsvcapi")["basic_auth_credentials"] = map[string]string{"archivist": "secret"}
	c.over(over)
	return c
}

// at is a section of its settings.
func (c *cluster) at(path ...string) map[string]any {
	at := c.settings
	for _, p := range path {
		at = at[p].(map[string]any)
	}
	return at
}

// over has it use a Kubo, which is another when that has been started anew.
func (c *cluster) over(k *kubo) {
	c.b.Helper()
	rpc := strings.Split(strings.TrimPrefix(k.rpc(), "http://"), ":")
	c.at("ipfs_connector", "ipfshttp")["node_multiaddress"] = "/ip4/" + rpc[0] + "/tcp/" + rpc[1]
}

// url is the http form of /ip4/A/tcp/N.
func url(addr string) string {
	f := strings.Split(addr, "/")
	return "http://" + f[2] + ":" + f[4]
}

func (c *cluster) read(file string, v any) {
	c.b.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, file))
	c.b.ok(err)
	c.b.ok(json.Unmarshal(data, v))
}

func (c *cluster) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(c.b.ctx, c.b.tool("bin/"+program), args...)
	cmd.Env = append(os.Environ(), "IPFS_CLUSTER_PATH="+c.dir, "CLUSTER_SECRET="+strings.Repeat("5a", 32))
	return cmd
}

func (c *cluster) run(program string, args ...string) []byte {
	c.b.Helper()
	return c.b.run(c.command(program, args...), nil)
}

// ctl runs ipfs-cluster-ctl on this peer.
func (c *cluster) ctl(args ...string) string {
	c.b.Helper()
	return string(c.run("ipfs-cluster-ctl", append([]string{"--host", c.rest}, args...)...))
}

// start runs the peer, which trusts those and no others, until stop.
func (c *cluster) start(trusted []string, args ...string) {
	b := c.b
	b.Helper()
	c.at("consensus", "crdt")["trusted_peers"] = trusted
	data, err := json.Marshal(c.settings)
	b.ok(err)
	b.ok(os.WriteFile(filepath.Join(c.dir, "service.json"), data, 0o600))
	c.cmd = c.command("ipfs-cluster-service", append([]string{"daemon"}, args...)...)
	stderr, err := c.cmd.StderrPipe()
	b.ok(err)
	c.cmd.Stdout = c.cmd.Stderr
	b.ok(c.cmd.Start())
	var said strings.Builder
	lines := bufio.NewScanner(stderr)
	ready := false
	for !ready && lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		ready = strings.Contains(lines.Text(), "IPFS Cluster is READY")
	}
	if !ready {
		c.cmd.Wait()
		b.Fatalf("the cluster's peer is not ready: %s", said.String())
	}
	c.done = make(chan struct{})
	go func() {
		for lines.Scan() {
		}
		close(c.done)
	}()
}

// stop ends the peer by a signal, unless it has ended.
func (c *cluster) stop(s os.Signal) {
	if c.cmd == nil {
		return
	}
	c.cmd.Process.Signal(s)
	<-c.done
	c.cmd.Wait()
	c.cmd = nil
}

// token has the peer give one out for its Pinning Service.
func (c *cluster) token() string {
	b := c.b
	b.Helper()
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, c.service+"/token", nil)
	b.ok(err)
	req.SetBasicAuth("archivist", "secret")
	res, err := http.DefaultClient.Do(req)
	b.ok(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	b.ok(err)
	var got struct{ Token string }
	b.ok(json.Unmarshal(body, &got))
	return got.Token
}

// until asks again and again until it is so.
func (b *bench) until(what string, so func() bool) {
	b.Helper()
	for !so() {
		if b.ctx.Err() != nil {
			b.Fatalf("never %s", what)
		}
	}
}

// holds tells whether k has all below root pinned, on its own disk.
func (k *kubo) holds(root string) bool {
	pinned := k.command("pin", "ls", "--type=recursive", root).Run() == nil
	return pinned && k.command("refs", "-r", "-u", "--offline", root).Run() == nil
}

// A Cluster of two keeps what an archivist keeps, asked by its Pinning Service
// API: the newest version, and the older one until then; what others pin there
// stays. A peer that was lost with its disk is made anew, and has it all again
// from the other, with DJ and archivist away.
func TestClusterKeepsCopies(t *testing.T) {
	b := newBench(t)
	files := shipped(b, "1-lamp.flac", "2-harbour.mp3")
	dj, archive := b.box("dj"), b.box("archive")
	var pub published
	b.ok(dj.JSON(b.ctx, &pub, "publish", files[0]))
	d := b.start(dj)
	kubos := []*kubo{b.kubo("kubo0"), b.kubo("kubo1")}
	peers := []*cluster{b.cluster("cluster0", kubos[0]), b.cluster("cluster1", kubos[1])}
	trusted := []string{peers[0].id, peers[1].id}
	for _, c := range peers {
		b.Cleanup(func() { c.stop(os.Kill) })
	}
	peers[0].start(trusted)
	peers[1].start(trusted, "--bootstrap", peers[0].swarm)
	other := strings.TrimSpace(string(kubos[0].run([]byte("another's"), "add", "-Q", "--pin=false")))
	peers[0].ctl("pin", "add", "--name", "another's", other)

	var link struct{ Link string }
	b.ok(dj.JSON(b.ctx, &link, "share", "main"))
	// Without the token it says what is wanted, and never the token itself.
	archive.Env = []string{"PLAYNODE_PINNING_TOKEN=wrong"}
	out, err := archive.Run(b.ctx, "archive", "--once", link.Link, "--pinning-service", peers[0].service)
	b.ok(err)
	if out.Code != 1 || !bytes.Contains(out.Stderr, []byte("pinning-token")) || bytes.Contains(out.Stderr, []byte("wrong")) {
		t.Errorf("exit %d: %s", out.Code, out.Stderr)
	}
	file := filepath.Join(b.dir, "token")
	b.ok(os.WriteFile(file, []byte(peers[0].token()+"\n"), 0o600))
	archive.Env = nil
	service := []string{"--pinning-service", peers[0].service, "--pinning-token-file", file}
	var held struct {
		Manifest, Elsewhere string
		Missing             int
	}
	a := b.start(archive, service...)
	b.ok(archive.JSON(b.ctx, &held, "archive", "--once", link.Link))
	if held.Manifest != pub.Manifest || held.Elsewhere != "pinned" {
		t.Fatalf("%+v", held)
	}
	// The Cluster speaks for those of its peers that have heard of the pin.
	both := func(root string) func() bool {
		return func() bool { return kubos[0].holds(root) && kubos[1].holds(root) }
	}
	b.until("held by both", both(pub.Manifest))
	if got := peers[1].ctl("pin", "ls", pub.Manifest); !strings.Contains(got, "playnode/"+pub.Name) {
		t.Errorf("ipfs-cluster-ctl pin ls: %s", got)
	}

	first := pub.Manifest
	b.ok(dj.JSON(b.ctx, &pub, append([]string{"publish"}, files[:2]...)...))
	b.ok(archive.JSON(b.ctx, &held, "archive", "--once", pub.Name, "--peer", d.Addrs[0]))
	if held.Manifest != pub.Manifest || held.Elsewhere != "pinned" {
		t.Fatalf("%+v", held)
	}
	if got := peers[0].ctl("pin", "ls"); strings.Contains(got, first) || !strings.Contains(got, pub.Manifest) || !strings.Contains(got, "another's") {
		t.Errorf("ipfs-cluster-ctl pin ls: %s", got)
	}
	b.until("held by both", both(pub.Manifest))
	b.until("unpinned", func() bool { return !kubos[0].holds(first) && !kubos[1].holds(first) })
	b.ok(a.Stop())
	b.ok(d.Stop())

	// The second is lost: what its owner keeps is its identity and settings.
	peers[1].stop(os.Kill)
	kubos[1].stop(os.Kill)
	identity, err := os.ReadFile(filepath.Join(peers[1].dir, "identity.json"))
	b.ok(err)
	b.ok(os.RemoveAll(peers[1].dir))
	b.ok(os.RemoveAll(kubos[1].repo))
	k := b.kubo("kubo1")
	b.ok(os.MkdirAll(peers[1].dir, 0o700))
	b.ok(os.WriteFile(filepath.Join(peers[1].dir, "identity.json"), identity, 0o600))
	peers[1].over(k)
	k.run(nil, "swarm", "connect", strings.Fields(string(kubos[0].run(nil, "id", "-f", "<addrs>")))[0])
	peers[1].start(trusted, "--bootstrap", peers[0].swarm)
	b.until("restored", func() bool { return k.holds(pub.Manifest) })
	for _, track := range pub.Playlists[0].Tracks {
		if got := k.run(nil, "cat", "--offline", track.CID); !bytes.HasPrefix(got, []byte("age-encryption.org/v1\n")) {
			t.Errorf("%s is no age file", track.CID)
		}
	}
}
