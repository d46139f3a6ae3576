package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// source is what the control socket shows; the Director is one.
type source interface {
	listing() *Listing
	status() *Status
	connections(yield func(*Connection) bool)
	templates(yield func(*Template) bool)
	// tuningNow and setTuning wait for the Director's goroutine.
	tuningNow(ctx context.Context) (*Tuning, error)
	setTuning(ctx context.Context, s *Settings, trial time.Duration) (*Tuning, error)
}

// socketServer answers on the control socket. Requests are read-only but for
// PUT /v1/tuning; whoever may open the socket may make them.
type socketServer struct {
	path     string
	listener net.Listener
	server   http.Server

	requests sync.RWMutex // read-locked by each request while it reads the source
	closed   bool         // guarded by requests
}

// listen opens the control socket, in a folder that it makes if needed, open
// to its owner and group. A socket that a dead director left is replaced, a
// living one's is not.
func listen(path string) (*socketServer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("control socket %s: another director answers there: stop it, or set control.socket", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket == 0 {
		return nil, fmt.Errorf("control socket %s: there is a file of that name that is no socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		listener.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &socketServer{path: path, listener: listener}, nil
}

// serve answers until close.
func (s *socketServer) serve(src source) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/services", func(w http.ResponseWriter, _ *http.Request) { answer(w, src.listing()) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, src.status()) })
	mux.HandleFunc("GET /v1/connections", func(w http.ResponseWriter, r *http.Request) { stream(w, r, src.connections) })
	mux.HandleFunc("GET /v1/templates", func(w http.ResponseWriter, r *http.Request) { stream(w, r, src.templates) })
	mux.HandleFunc("GET /v1/tuning", func(w http.ResponseWriter, r *http.Request) { getTuning(w, r, src) })
	mux.HandleFunc("PUT /v1/tuning", func(w http.ResponseWriter, r *http.Request) { putTuning(w, r, src) })
	s.server.Handler = s.untilClosed(mux)
	s.server.ReadHeaderTimeout = 5 * time.Second
	s.server.Serve(s.listener) //nolint:errcheck // it always ends with ErrServerClosed
}

// untilClosed lets close wait for requests: the source may go away afterwards.
func (s *socketServer) untilClosed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.RLock()
		defer s.requests.RUnlock()
		if !s.closed {
			h.ServeHTTP(w, r)
		}
	})
}

// close stops answering; requests under way get a second. When it returns, none
// is under way. Closing twice does no harm.
func (s *socketServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	// A server that has not served yet does not know its listener.
	if closed := s.listener.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	s.requests.Lock()
	defer s.requests.Unlock()
	s.closed = true
	return err
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client is gone: nobody to tell
}

// stream writes one JSON object a line while the tables are read, so that a
// listing of millions takes no memory.
func stream[T any](w http.ResponseWriter, r *http.Request, all func(func(*T) bool)) {
	w.Header().Set("Content-Type", "application/jsonl")
	out := bufio.NewWriterSize(w, 1<<16)
	encoder := json.NewEncoder(out)
	all(func(v *T) bool { return r.Context().Err() == nil && encoder.Encode(v) == nil })
	out.Flush() //nolint:errcheck // as above
}
