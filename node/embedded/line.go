package embedded

import (
	"context"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/config"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/transport"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/tcpreuse"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	quicgo "github.com/quic-go/quic-go"
	"go.uber.org/fx"

	"playnode/node"
)

// onLine gives a host its transports, whose connections share a line unless it is
// nil.
func onLine(c *config.Config, line *node.Line, l *losses) {
	c.Transports = []fx.Option{
		carriedBy(func(u transport.Upgrader, resources network.ResourceManager, ports *tcpreuse.ConnMgr) (transport.Transport, error) {
			return tcp.NewTCPTransport(lined{u, line, l}, resources, ports)
		}),
		carriedBy(func(key crypto.PrivKey, m *quicreuse.ConnManager, secret pnet.PSK, gate connmgr.ConnectionGater, resources network.ResourceManager) (transport.Transport, error) {
			return quic.NewTransport(key, m, secret, gate, resources)
		}),
	}
	c.QUICReuse = []fx.Option{fx.Provide(func(reset quicgo.StatelessResetKey, token quicgo.TokenGeneratorKey, resources network.ResourceManager, life fx.Lifecycle) (*quicreuse.ConnManager, error) {
		m, err := quicreuse.NewConnManager(reset, token, counted(resources), quicreuse.VerifySourceAddress(resources.VerifySourceAddress), onSockets(line, l))
		if err != nil {
			return nil, err
		}
		life.Append(fx.StopHook(m.Close))
		return m, nil
	})}
}

// carriedBy is one of a host's transports, as libp2p gathers them.
func carriedBy(constructor any) fx.Option {
	return fx.Provide(fx.Annotate(constructor, fx.ResultTags(`group:"transport"`)))
}

// counted has the resource manager judge a connection of QUIC before its
// handshake, as libp2p does where it makes its sockets itself.
func counted(resources network.ResourceManager) quicreuse.Option {
	return quicreuse.ConnContext(func(ctx context.Context, client *quicgo.ClientInfo) (context.Context, error) {
		at, err := quicreuse.ToQuicMultiaddr(client.RemoteAddr, quicgo.Version1)
		if err != nil {
			at = nil
		}
		scope, err := resources.OpenConnection(network.DirInbound, false, at)
		if err != nil {
			return ctx, err
		}
		ctx = network.WithConnManagementScope(ctx, scope)
		context.AfterFunc(ctx, scope.Done)
		return ctx, nil
	})
}

// lined has connections of TCP share a line, if there is one, before they are
// anything else, and who reads them woken seldom.
type lined struct {
	transport.Upgrader
	line   *node.Line
	losses *losses
}

func (u lined) Upgrade(ctx context.Context, t transport.Transport, c manet.Conn, dir network.Direction, p peer.ID, scope network.ConnManagementScope) (transport.CapableConn, error) {
	if dir == network.DirOutbound { // what was accepted shares it already
		c = addressed{u.line.Conn(seldom(c, u.losses)), c}
	}
	return u.Upgrader.Upgrade(ctx, t, c, dir, p, scope)
}

func (u lined) GateMaListener(l manet.Listener) transport.GatedMaListener {
	return u.Upgrader.GateMaListener(linedListener{l, u.line, u.losses})
}

type linedListener struct {
	manet.Listener
	line   *node.Line
	losses *losses
}

func (l linedListener) Accept() (manet.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return addressed{l.line.Conn(seldom(c, l.losses)), c}, nil
}

// addressed is a connection that shares a line, and what it was before.
type addressed struct {
	net.Conn
	ends manet.Conn
}

func (a addressed) LocalMultiaddr() ma.Multiaddr  { return a.ends.LocalMultiaddr() }
func (a addressed) RemoteMultiaddr() ma.Multiaddr { return a.ends.RemoteMultiaddr() }

// SetKeepAlive is what libp2p expects of a connection of TCP.
func (a addressed) SetKeepAlive(on bool) error {
	if t, ok := a.ends.(interface{ SetKeepAlive(bool) error }); ok {
		return t.SetKeepAlive(on)
	}
	return nil
}

// SetLinger is, too: who is closed is gone.
func (a addressed) SetLinger(sec int) error {
	if t, ok := a.ends.(interface{ SetLinger(int) error }); ok {
		return t.SetLinger(sec)
	}
	return nil
}

// SetKeepAlivePeriod goes with SetKeepAlive.
func (a addressed) SetKeepAlivePeriod(d time.Duration) error {
	if t, ok := a.ends.(interface{ SetKeepAlivePeriod(time.Duration) error }); ok {
		return t.SetKeepAlivePeriod(d)
	}
	return nil
}
