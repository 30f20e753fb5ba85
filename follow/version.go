package follow

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/ipns"
	"playnode/manifests"
)

const (
	// day is how far ahead of the clock a record may be dated, in seconds.
	day = 86400
	// maxTracks bounds the tracks of all selections of a head together.
	maxTracks = 1 << 20
)

// version is the records that a head reaches, verified among themselves. What
// was accepted before is not yet looked at.
type version struct {
	envelope   cid.Cid
	signedHead manifests.Signed
	head       *manifests.Head
	roots      []manifests.Signed
	chain      *manifests.Chain
	signed     []manifests.Signed // of the head's selections, in order
	manifests  []*manifests.Manifest
	tracks     []*manifests.Tracks
	card       *manifests.Card // nil where the head has none
	// refused are selections whose manifests here lie below what was accepted;
	// kept is what was held of them, nil where nothing was.
	refused map[manifests.SelID]error
	kept    map[manifests.SelID]*Selection
}

// getter reads one block, from wherever the caller means.
type getter func(ctx context.Context, c cid.Cid) ([]byte, error)

// getAll reads blocks, so many at once.
func (get getter) all(ctx context.Context, parallel int, cids []cid.Cid) ([][]byte, error) {
	out := make([][]byte, len(cids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, c := range cids {
		g.Go(func() (err error) {
			out[i], err = get(ctx, c)
			return err
		})
	}
	return out, g.Wait()
}

// signed reads an envelope and its payload.
func (get getter) signed(ctx context.Context, env cid.Cid) (s manifests.Signed, err error) {
	if !manifests.PlainCID(env, cid.DagCBOR) {
		return s, refuse("%s is no record's CID", env)
	}
	s.Env.CID = env
	if s.Env.Data, err = get(ctx, env); err != nil {
		return s, err
	}
	e, err := manifests.OpenEnvelope(s.Env.Data)
	if err != nil {
		return s, fmt.Errorf("record %s: %w: %w", env, ErrVerify, err)
	}
	s.Payload.CID = e.Payload
	s.Payload.Data, err = get(ctx, e.Payload)
	return s, err
}

func (get getter) signedAll(ctx context.Context, parallel int, envs []cid.Cid) ([]manifests.Signed, error) {
	out := make([]manifests.Signed, len(envs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, c := range envs {
		g.Go(func() (err error) {
			out[i], err = get.signed(ctx, c)
			return err
		})
	}
	return out, g.Wait()
}

// readHead reads a head and its roots and verifies them: chain of roots, this
// name among the newest root's, the head signed under that root. dj, unless
// empty, is whose they must be.
func readHead(ctx context.Context, get getter, parallel int, name ipns.Name, dj string, envelope cid.Cid) (*version, error) {
	v := &version{envelope: envelope}
	var err error
	if v.signedHead, err = get.signed(ctx, envelope); err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	h, err := manifests.DecodeHead(v.signedHead.Payload.Data)
	if err != nil {
		return nil, fmt.Errorf("read head %s: %w: %w", envelope, ErrVerify, err)
	}
	if v.roots, err = get.signedAll(ctx, parallel, h.Roots); err != nil {
		return nil, fmt.Errorf("read roots: %w", err)
	}
	if v.chain, err = manifests.VerifyChain(v.roots); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVerify, err)
	}
	if own := v.chain.DJ().String(); dj != "" && own != dj {
		return nil, refuse("%s points at DJ %s, and %s is pinned", name, own, dj)
	}
	if v.head, err = v.chain.OpenHead(v.signedHead); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVerify, err)
	}
	if !v.chain.Newest().HasName(manifests.Name(name)) {
		return nil, refuse("DJ %s does not list the name %s as hers", v.chain.DJ(), name)
	}
	return v, nil
}

// readVersion reads the records below a head's envelope and verifies them:
// what readHead does, manifests signed in their role under the same root, and
// what their spines cover.
func readVersion(ctx context.Context, get getter, parallel int, name ipns.Name, dj string, envelope cid.Cid) (*version, error) {
	v, err := readHead(ctx, get, parallel, name, dj, envelope)
	if err != nil {
		return nil, err
	}
	if v.card, err = get.card(ctx, v.head); err != nil {
		return nil, err
	}
	var envs []cid.Cid
	for _, l := range v.head.Sels {
		envs = append(envs, l.Manifest)
	}
	if v.signed, err = get.signedAll(ctx, parallel, envs); err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	for _, s := range v.signed {
		m, err := v.chain.OpenManifest(s)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrVerify, err)
		}
		v.manifests = append(v.manifests, m)
	}
	if err := v.head.Agree(v.manifests); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVerify, err)
	}
	total := 0
	for _, m := range v.manifests {
		t, err := get.tracks(ctx, parallel, m)
		if err != nil {
			return nil, err
		}
		if total += len(t.Entries); total > maxTracks {
			return nil, refuse("head with over %d tracks", maxTracks)
		}
		v.tracks = append(v.tracks, t)
	}
	return v, nil
}

// card reads the head's card, if it has one. What it may make its readers
// hold is within its caps.
func (get getter) card(ctx context.Context, h *manifests.Head) (*manifests.Card, error) {
	if h.Card == nil {
		return nil, nil
	}
	data, err := get(ctx, *h.Card)
	if err != nil {
		return nil, fmt.Errorf("read card: %w", err)
	}
	c, err := manifests.DecodeCard(data)
	if err != nil {
		return nil, fmt.Errorf("card: %w: %w", ErrVerify, err)
	}
	return c, nil
}

// tracks reads what a manifest's spine covers.
func (get getter) tracks(ctx context.Context, parallel int, m *manifests.Manifest) (*manifests.Tracks, error) {
	var lost error // tells an absent block from a wrong one
	t, err := manifests.ReadTracks(m.Tracks, func(cids []cid.Cid) ([][]byte, error) {
		got, err := get.all(ctx, parallel, cids)
		lost = err
		return got, err
	})
	if err != nil && lost == nil {
		err = fmt.Errorf("%w: %w", ErrVerify, err)
	}
	return t, err
}

// keep notes what is held in the place of manifests that were refused.
func (v *version) keep(refused map[manifests.SelID]error, held *Catalogue) {
	if len(refused) == 0 {
		return
	}
	v.refused, v.kept = refused, map[manifests.SelID]*Selection{}
	for _, l := range v.head.Sels {
		if refused[l.Sel] == nil {
			continue
		}
		v.kept[l.Sel] = nil
		if held == nil || held.Head.RootN != v.head.RootN {
			continue
		}
		for _, s := range held.Selections {
			if s.ID == l.Sel {
				s.Label = l.Label
				v.kept[l.Sel] = &s
			}
		}
	}
}

// reread reads what keep noted, as the store has it.
func (v *version) reread(ctx context.Context, get getter, parallel int, kept map[string]string) error {
	if len(kept) > 0 {
		v.kept = map[manifests.SelID]*Selection{}
	}
	for _, l := range v.head.Sels {
		text, ok := kept[l.Sel.String()]
		if !ok {
			continue
		}
		v.kept[l.Sel] = nil
		if text == "" {
			continue
		}
		env, err := cid.Decode(text)
		if err != nil {
			return err
		}
		s, err := get.signed(ctx, env)
		if err != nil {
			return fmt.Errorf("read manifest: %w", err)
		}
		m, err := v.chain.OpenManifest(s)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrVerify, err)
		}
		t, err := get.tracks(ctx, parallel, m)
		if err != nil {
			return err
		}
		v.kept[l.Sel] = &Selection{ID: l.Sel, Label: l.Label, Envelope: env, Payload: s.Payload.CID, Manifest: m, Entries: t.Entries}
	}
	return nil
}

// held are the selections that are kept in the place of others.
func (v *version) held() (out []*Selection) {
	for _, l := range v.head.Sels {
		if s := v.kept[l.Sel]; s != nil {
			out = append(out, s)
		}
	}
	return out
}

// dated refuses records from the future.
func (v *version) dated(now int64) error {
	latest := v.head.IAT
	for _, m := range v.manifests {
		latest = max(latest, m.IAT)
	}
	if latest = max(latest, v.chain.Newest().IAT); latest > now+day {
		return refuse("a record is dated %d, over a day ahead of the clock", latest)
	}
	return nil
}

// boxes checks the mailboxes' shards: canonical, and in one size class.
func boxes(shards [][]byte) error {
	class := 0
	for i, data := range shards {
		s, err := manifests.DecodeBoxShard(data)
		if err != nil {
			return fmt.Errorf("mailboxes: %w: %w", ErrVerify, err)
		}
		if i > 0 && s.Class() != class {
			return refuse("mailboxes in two size classes")
		}
		class = s.Class()
	}
	return nil
}

// catalogue is what the version says.
func (v *version) catalogue(name ipns.Name) *Catalogue {
	c := &Catalogue{Name: name, DJ: v.chain.DJ(), Envelope: v.envelope, Chain: v.chain, Head: v.head, Card: v.card}
	for i, l := range v.head.Sels {
		if err := v.refused[l.Sel]; err != nil {
			c.Refused = append(c.Refused, Refusal{l.Label, err})
		}
		if s, ok := v.kept[l.Sel]; ok {
			if s != nil {
				c.Selections = append(c.Selections, *s)
			}
			continue
		}
		c.Selections = append(c.Selections, Selection{
			ID: l.Sel, Label: l.Label, Envelope: l.Manifest, Payload: v.signed[i].Payload.CID,
			Manifest: v.manifests[i], Entries: v.tracks[i].Entries,
		})
	}
	return c
}

// small bounds a covered block other than a leaf.
func small(c cid.Cid, data []byte) error {
	if len(data) > manifests.MaxBlock {
		return refuse("block %s has %d bytes", c, len(data))
	}
	return nil
}
