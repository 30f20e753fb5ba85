package daemon

import (
	"context"
	"slices"
	"time"

	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/player"
)

// openLink is a link with where it is found, and its form for browsers at a box
// that serves such pages, where one is named.
func (d *Daemon) openLink(l manifests.OpenLink, at string) (link, web string) {
	l.Name, l.Addrs = d.keys.Name(), d.hints()
	if at != "" {
		l.Origins = []string{at} // playnodes find her by it, too
		web = l.Web(at)
	}
	return l.String(), web
}

// listenOpen hears the set of a link, or its excerpt: its key opens it, and no
// lease is looked at. Its DJ need not be followed, and is not followed by this.
func (d *Daemon) listenOpen(ctx context.Context, n *network, req ListenRequest, emit func(Event)) (Played, error) {
	l, err := manifests.ParseOpenLink(req.Play.Name)
	if err != nil {
		return Played{}, usage("%v", err)
	}
	name, err := ipns.ParseName(string(l.Name))
	if err != nil {
		return Played{}, usage("%v", err)
	}
	g := &guest{n: n, link: l}
	leave, err := d.visit(ctx, n, g, name, req.Play.Node.timeout())
	if err != nil {
		return Played{}, err
	}
	defer leave()
	req.Play.Name = name.String()
	res, err := d.playNow(ctx, n, req.Play, emit, func(r player.Request, tell func(player.Event)) (*player.Playback, error) {
		r.Wait = req.Wait
		return n.player.OpenGuest(r, name, g, g, tell)
	})
	return res, g.why(err)
}

// visit has the sets of g's DJ verified here until leave, also where she is not
// followed.
func (d *Daemon) visit(ctx context.Context, n *network, g *guest, name ipns.Name, wait time.Duration) (leave func(), err error) {
	l := g.link
	if l.DJ == d.keys.DJ() || n.air.follower(l.DJ) {
		return func() {}, nil
	}
	ctx, _, stop := patience(ctx, wait)
	defer stop()
	seen, err := n.follow.Visit(ctx, l.DJ, manifests.Link{Name: l.Name, Addrs: l.Addrs, Origins: l.Origins})
	if err != nil {
		return nil, waited(ctx, err)
	}
	n.air.enter(name, &follow.Catalogue{Name: name, DJ: l.DJ, Chain: seen.Chain})
	g.card = seen.Card
	n.look()
	return func() { n.air.exit(name) }, nil
}

// follower tells whether this box follows a DJ.
func (a *air) follower(dj manifests.DJ) bool {
	return slices.ContainsFunc(a.n.follow.Follows(), func(f follow.Status) bool {
		_, err := a.n.follow.Newest(f.Name)
		return f.DJ == dj.String() && err == nil
	})
}

// enter is follows for a visitor.
func (a *air) enter(name ipns.Name, c *follow.Catalogue) {
	a.mu.Lock()
	a.visits[name]++
	a.mu.Unlock()
	a.follows(c)
}

// exit ends what enter began, unless the name is followed by now.
func (a *air) exit(name ipns.Name) {
	a.mu.Lock()
	if a.visits[name]--; a.visits[name] <= 0 {
		delete(a.visits, name)
	}
	a.mu.Unlock()
	if !slices.ContainsFunc(a.n.follow.Follows(), func(f follow.Status) bool { return f.Name == name }) {
		a.leaves(name)
	}
}

// visited are the names whose sets are heard here by a link.
func (n *network) visited() (out []ipns.Name) {
	select {
	case <-n.onAir:
	default:
		return nil
	}
	n.air.mu.Lock()
	defer n.air.mu.Unlock()
	for name := range n.air.visits {
		out = append(out, name)
	}
	return out
}
