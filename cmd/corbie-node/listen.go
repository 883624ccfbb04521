package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"corbie/node"
)

const unixPrefix = "unix:"

// listening is what the node listens on, by address as it was asked for.
type listening struct {
	fixed bool // by systemd or the command line: the configuration does not matter
	open  map[string]net.Listener
}

// listen opens what systemd handed over, or what the command line says, or what the configuration says.
func (p *program) listen(ctx context.Context, cfg *node.Config, addresses []string) (*listening, error) {
	l := &listening{open: make(map[string]net.Listener)}
	if len(addresses) > 0 {
		l.fixed = true
		sockets := make([]node.Socket, 0, len(addresses))
		for _, address := range addresses {
			if path, ok := strings.CutPrefix(address, unixPrefix); ok {
				const mode = 0o660
				sockets = append(sockets, node.Socket{Path: strings.TrimPrefix(path, "//"), Mode: mode})
			}
		}
		tcp := slices.DeleteFunc(slices.Clone(addresses), func(a string) bool { return strings.HasPrefix(a, unixPrefix) })
		return l, l.add(ctx, tcp, sockets)
	}
	handed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("take over systemd's sockets: %w", err)
	}
	for i, listener := range handed {
		if listener == nil {
			l.close()
			return nil, fmt.Errorf("systemd's socket %d is not one that listens; the socket unit wants ListenStream= and Accept=no", i+1)
		}
		l.fixed = true
		l.open["systemd "+strconv.Itoa(i)] = listener
	}
	if l.fixed {
		return l, nil
	}
	return l, l.add(ctx, cfg.Listen, cfg.Sockets)
}

// listeners are all that are open.
func (l *listening) listeners() []net.Listener {
	var all []net.Listener
	for _, address := range slices.Sorted(maps.Keys(l.open)) {
		all = append(all, l.open[address])
	}
	return all
}

// add opens all addresses that are not open yet, or none of them.
func (l *listening) add(ctx context.Context, addresses []string, sockets []node.Socket) (err error) {
	opened := make(map[string]net.Listener)
	defer func() {
		for address, listener := range opened {
			if err != nil {
				_ = listener.Close() // Nobody came yet.
			} else {
				l.open[address] = listener
			}
		}
	}()
	for _, address := range addresses {
		if l.open[address] != nil || opened[address] != nil {
			continue
		}
		if opened[address], err = listenTCP(ctx, address, addresses); err != nil {
			delete(opened, address)
			return err
		}
	}
	for _, socket := range sockets {
		address := unixPrefix + socket.Path
		if l.open[address] != nil || opened[address] != nil {
			continue
		}
		if opened[address], err = listenUnix(ctx, socket); err != nil {
			delete(opened, address)
			return err
		}
	}
	return nil
}

// change is add, and forgets what is not wanted any more; the server closes that.
func (l *listening) change(ctx context.Context, cfg *node.Config) error {
	if l.fixed {
		return nil
	}
	if err := l.add(ctx, cfg.Listen, cfg.Sockets); err != nil {
		return fmt.Errorf("%w; an address that overlaps with one of before needs a restart", err)
	}
	wanted := make(map[string]bool)
	for _, address := range cfg.Listen {
		wanted[address] = true
	}
	for _, socket := range cfg.Sockets {
		wanted[unixPrefix+socket.Path] = true
	}
	maps.DeleteFunc(l.open, func(address string, _ net.Listener) bool { return !wanted[address] })
	return nil
}

func (l *listening) close() {
	for _, listener := range l.open {
		_ = listener.Close() // Nobody uses it any more.
	}
}

func listenTCP(ctx context.Context, address string, all []string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, exitError{code: exitUsage, err: fmt.Errorf("listen on %q: want HOST:PORT, as in 127.0.0.1:4949, or unix:/PATH", address)}
	}
	network := "tcp"
	switch {
	case host == net.IPv4zero.String():
		network = "tcp4" // Else it would mean IPv6 as well.
	case host == net.IPv6unspecified.String() && slices.Contains(all, net.JoinHostPort(net.IPv4zero.String(), port)):
		network = "tcp6" // IPv4 is listened on apart from it.
	}
	const keepAlive = time.Minute
	config := net.ListenConfig{KeepAlive: keepAlive}
	listener, err := config.Listen(ctx, network, address)
	if err != nil {
		return nil, listenError(address, err)
	}
	return listener, nil
}

// listenUnix makes a socket in the file system that only those may use whom its mode names. One that a node left
// behind is replaced.
func listenUnix(ctx context.Context, socket node.Socket) (net.Listener, error) {
	var fault error
	// The mode of the file comes from the socket's own, so that there is no moment in which it is another.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		err := c.Control(func(fd uintptr) { fault = syscall.Fchmod(int(fd), uint32(socket.Mode)) })
		return errors.Join(err, fault)
	}}
	listener, err := config.Listen(ctx, "unix", socket.Path)
	if errors.Is(err, syscall.EADDRINUSE) && isAbandoned(ctx, socket.Path) && os.Remove(socket.Path) == nil {
		listener, err = config.Listen(ctx, "unix", socket.Path)
	}
	if err != nil {
		return nil, listenError(socket.Path, err)
	}
	gid := -1
	if socket.Group != "" {
		group, err := user.LookupGroup(socket.Group)
		if err == nil {
			gid, err = strconv.Atoi(group.Gid)
		}
		if err != nil {
			_ = listener.Close() // Nobody came yet.
			return nil, fmt.Errorf("socket %s: %w", socket.Path, err)
		}
	}
	if err := errors.Join(os.Lchown(socket.Path, -1, gid), os.Chmod(socket.Path, socket.Mode)); err != nil {
		_ = listener.Close() // Nobody came yet.
		return nil, fmt.Errorf("socket %s: %w", socket.Path, err)
	}
	return listener, nil
}

// isAbandoned says whether a file is a socket on which nobody listens.
func isAbandoned(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // It only was to see whether somebody is there.
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func listenError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && strings.HasPrefix(address, "/"):
		return fmt.Errorf("socket %s is in use by another node, or is no socket; choose another path", address)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("address %s is in use: another munin-node or corbie-node is running? Stop it or choose --listen", address)
	case errors.Is(err, syscall.EACCES) && strings.HasPrefix(address, "/"):
		return fmt.Errorf("socket %s: this user may not make files in its folder", address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("address %s: only root may listen on a port below 1024; choose another with --listen", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("address %s does not belong to this machine; choose another with --listen", address)
	}
	return fmt.Errorf("listen on %s: %w", address, err)
}
