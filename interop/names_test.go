//go:build interop

package interop

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/node"
	"playnode/node/embedded"
	kuborpc "playnode/node/kubo"
)

// rows is an ipns.Store in memory.
type rows struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (r *rows) Get(key string) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.m[key], nil
}

func (r *rows) Put(key string, value []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil {
		r.m = map[string][]byte{}
	}
	r.m[key] = value
	return nil
}

// resolved asks Kubo for name until it says want.
func (k *kubo) resolved(name, want string) {
	k.b.Helper()
	var said []byte
	for k.b.ctx.Err() == nil {
		said, _ = k.command("name", "resolve", "--nocache", "--timeout=10s", "/ipns/"+name).CombinedOutput()
		if strings.TrimSpace(string(said)) == want {
			return
		}
	}
	k.b.Fatalf("kubo resolves %s to %s, want %s", name, said, want)
}

// Stock Kubo and our node, with no DHT between them, take each other's records
// by pubsub: those published before the other came by its topic's peers, those
// after by push.
func TestStockPubsub(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	b.ctx = ctx
	_, id, err := ed25519.GenerateKey(nil)
	b.ok(err)
	_, key, err := ed25519.GenerateKey(nil)
	b.ok(err)
	n, err := embedded.New(ctx, embedded.Config{Dir: b.dir + "/node", Identity: id, Network: embedded.None, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
	b.ok(err)
	defer n.Close()
	names, err := ipns.New(ipns.Config{Store: &rows{}, Now: time.Now, Peers: n, Topics: n})
	b.ok(err)
	defer names.Close()
	run, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); names.Run(run) }()
	defer func() { stop(); <-ended }()

	value := func(i int) cid.Cid { return node.NewBlock(cid.Raw, fmt.Append(nil, i)).CID }
	eol := time.Now().Add(time.Hour)
	ours, _, err := names.Publish(ctx, key, value(1), 0, eol)
	b.ok(err)
	k := b.kubo("kubo", [2]string{"Ipns.UsePubsub", "true"}, [2]string{"Routing.Type", `"none"`})
	k.run(nil, "swarm", "connect", n.Addrs()[0])
	k.resolved(ours.Name.String(), "/ipfs/"+value(1).String())
	if subs := string(k.run(nil, "name", "pubsub", "subs")); !strings.Contains(subs, ours.Name.String()) {
		t.Errorf("kubo subscribes to %q", subs)
	}
	for i := 2; i < 5; i++ {
		_, _, err = names.Publish(ctx, key, value(i), 0, eol)
		b.ok(err)
		k.resolved(ours.Name.String(), "/ipfs/"+value(i).String())
	}

	// And the other way.
	theirs, err := ipns.ParseName(strings.TrimSpace(string(k.run(nil, "id", "-f", "<id>"))))
	b.ok(err)
	k.run(nil, "name", "publish", "--allow-offline", "--resolve=false", "/ipfs/"+value(10).String())
	heard := make(chan ipns.Record, 16)
	defer names.Watch(theirs, func(r ipns.Record) { heard <- r })()
	wait := func(want cid.Cid) {
		t.Helper()
		for {
			select {
			case r := <-heard:
				if r.Value == want {
					return
				}
			case <-ctx.Done():
				t.Fatalf("%s was never heard of", want)
			}
		}
	}
	asked, err := names.Ask(ctx, theirs)
	b.ok(err)
	if asked.Value != value(10) {
		t.Fatalf("kubo answers %s", asked.Value)
	}
	for i := 11; i < 14; i++ {
		k.run(nil, "name", "publish", "--allow-offline", "--resolve=false", "/ipfs/"+value(i).String())
		wait(value(i))
	}
}

// Stock Kubo, with our gateway as its only router, resolves our names there and
// puts records of a name that is followed there.
func TestStockDelegatedRouting(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	b.ctx = ctx
	files := sources(b)
	dj := b.box("dj")
	var pub published
	b.ok(dj.JSON(b.ctx, &pub, "publish", files[0]))
	d := b.start(dj, "--gateway", "127.0.0.1:0")
	at := fmt.Sprintf(`["http://%s/routing/v1/ipns"]`, d.Gateway)
	k := b.kubo("kubo", [2]string{"Provide.Enabled", "false"}, [2]string{"Routing.Type", `"delegated"`}, [2]string{"Routing.DelegatedRouters", at}, [2]string{"Ipns.DelegatedPublishers", at})
	k.resolved(pub.Name, "/ipfs/"+pub.Manifest)

	publish := []string{"name", "publish", "--allow-delegated", "--resolve=false", "--timeout=20s", "/ipfs/" + pub.Manifest}
	theirs, err := ipns.ParseName(strings.TrimSpace(string(k.run(nil, "id", "-f", "<id>"))))
	b.ok(err)
	kept := func() (ipns.Record, error) {
		return ipns.Open(theirs, fetch(b, "http://"+d.Gateway+"/routing/v1/ipns/"+theirs.String(), "application/vnd.ipfs.ipns-record"))
	}
	k.run(nil, publish...)
	if rec, err := kept(); err == nil {
		t.Errorf("a record of a name that nobody here wants was kept: %d", rec.Seq)
	}
	// No DJ is behind it, so what it points at is refused; it is followed all the same.
	dj.Run(b.ctx, "follow", theirs.String(), "--timeout", "1s")
	k.run(nil, publish...)
	rec, err := kept()
	b.ok(err)
	if rec.Value.String() != pub.Manifest {
		t.Errorf("kept is a record to %s", rec.Value)
	}
}

// A running Kubo is given the DJ's record by its RPC and puts it into its own
// DHT, where another Kubo finds it; asked by its RPC, it gives the record back.
func TestStockNamePut(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(b.ctx, 2*time.Minute)
	defer cancel()
	b.ctx = ctx
	k, other := b.kubo("kubo"), b.kubo("other")
	other.run(nil, "swarm", "connect", strings.Fields(string(k.run(nil, "id", "-f", "<addrs>")))[0])
	dj := b.box("dj")
	var pub struct {
		published
		Holders int
	}
	b.ok(dj.JSON(b.ctx, &pub, "publish", sources(b)[0], "--kubo-names", k.rpc()))
	if pub.Holders == 0 {
		t.Error("kubo did not take the record")
	}
	other.resolved(pub.Name, "/ipfs/"+pub.Manifest)

	names, err := kuborpc.NewNames(other.rpc(), "")
	b.ok(err)
	raw, err := names.Record(b.ctx, pub.Name)
	b.ok(err)
	name, err := ipns.ParseName(pub.Name)
	b.ok(err)
	rec, err := ipns.Open(name, raw)
	b.ok(err)
	if rec.Value.String() != pub.Manifest {
		t.Errorf("kubo gives a record to %s, not %s", rec.Value, pub.Manifest)
	}
	if err := names.PutRecord(b.ctx, pub.Name, raw[:len(raw)-1]); err == nil {
		t.Error("kubo took a damaged record")
	}
}

// rpc is the address of its RPC.
func (k *kubo) rpc() string {
	k.b.Helper()
	text, err := os.ReadFile(filepath.Join(k.repo, "api"))
	k.b.ok(err)
	parts := strings.Split(strings.TrimSpace(string(text)), "/") // /ip4/127.0.0.1/tcp/5001
	if len(parts) != 5 {
		k.b.Fatalf("kubo's RPC is at %q", text)
	}
	return "http://" + parts[2] + ":" + parts[4]
}
