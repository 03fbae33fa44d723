package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// The bounds of the HTTP server. There is none on the time of a whole request,
// for a call may ask for maxCallTimeout; an argument has bodyTimeout.
const (
	headerTimeout   = 10 * time.Second
	keepAlive       = 2 * time.Minute // of a connection without a request
	writeTimeout    = maxCallTimeout + 30*time.Second
	maxHeaderBytes  = 16 << 10
	maxHTTP2Streams = 256 // of a connection
)

// httpServer serves the HTTP API on one listener.
type httpServer struct {
	server   http.Server
	listener net.Listener
	logger   *slog.Logger
	maxConns int64
	conns    atomic.Int64
	done     chan struct{} // closed when serving has ended
	err      error         // why serving ended; nil for shutdown. Read after done
}

// startHTTP serves handler on listener, with TLS if conf is not nil, until
// shutdown. It takes over the listener.
func startHTTP(listener net.Listener, conf *tls.Config, handler http.Handler, maxConns int, logger *slog.Logger) *httpServer {
	s := &httpServer{listener: listener, logger: logger, maxConns: int64(maxConns), done: make(chan struct{})}
	s.server = http.Server{
		Handler:           handler,
		TLSConfig:         conf,
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       keepAlive,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxHTTP2Streams},
		ConnState:         s.countConn,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	go s.serve()
	return s
}

func (s *httpServer) serve() {
	defer close(s.done)
	var err error
	if s.server.TLSConfig != nil {
		err = s.server.ServeTLS(s.listener, "", "")
	} else {
		err = s.server.Serve(s.listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		s.err = fmt.Errorf("HTTP on %s: %w", s.listener.Addr(), err)
	}
}

// countConn closes a connection that is one too many.
func (s *httpServer) countConn(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		n := s.conns.Add(1)
		if n == s.maxConns+1 {
			s.logger.Warn("too many HTTP connections; more are closed", "most", s.maxConns)
		}
		if n > s.maxConns {
			c.Close() // the server sees that, and counts it down below
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

// addr returns the address that the server listens on.
func (s *httpServer) addr() net.Addr { return s.listener.Addr() }

// shutdown takes no more requests, and waits for those under way until ctx
// ends; then it cuts them off.
func (s *httpServer) shutdown(ctx context.Context) {
	if err := s.server.Shutdown(ctx); err != nil {
		s.server.Close() // its error is of a listener that is closed already
	}
	<-s.done
}
