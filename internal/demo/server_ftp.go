package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	goftp "goftp.io/server/v2"
	"goftp.io/server/v2/driver/file"
	"golang.org/x/sync/errgroup"
)

// The FTP account.
const ftpUser, ftpPassword = "demo", "demo"

// The folders of a server. Clients list one and write into the other, because the
// library trips over a file that goes while it lists.
const ftpPublic, ftpUploads = "public", "uploads"

// ftpNamePrefix and the server's name are the name of the one file in the public
// folder, and the server's name is its content: so a listing
// and a retrieval each tell where they come from.
const ftpNamePrefix = "server-"

// serveFTP serves a folder of its own. The server advertises the address that
// its control connection came to, under direct routing the virtual one.
func serveFTP(ctx context.Context, group *errgroup.Group, name, dir string) error {
	root := filepath.Join(dir, "ftp-"+name)
	for _, folder := range []string{ftpPublic, ftpUploads} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, ftpPublic, ftpNamePrefix+name), []byte(name), 0o600); err != nil {
		return err
	}
	driver, err := file.NewDriver(root)
	if err != nil {
		return err
	}
	ftp, err := goftp.NewServer(&goftp.Options{
		Driver:         driver,
		Auth:           &goftp.SimpleAuth{Name: ftpUser, Password: ftpPassword},
		Perm:           goftp.NewSimplePerm(ftpUser, ftpUser),
		WelcomeMessage: ftpWelcome(name),
		PassivePorts:   fmt.Sprintf("%d-%d", passiveFirst, passiveLast+1), // the library leaves out the last
		Logger:         new(goftp.DiscardLogger),
	})
	if err != nil {
		return err
	}
	l, err := listen(ctx, portFTP)
	if err != nil {
		return err
	}
	group.Go(func() error {
		err := ftp.Serve(l)
		if errors.Is(err, goftp.ErrServerClosed) {
			return nil
		}
		return ended(ctx, err)
	})
	return nil
}

// ftpWelcome is the greeting on a control connection, after its code.
func ftpWelcome(name string) string { return ftpWelcomePrefix + name }

const ftpWelcomePrefix = "real server "
