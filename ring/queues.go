package ring

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/xlvs/xlvs/ring/internal/abi"
)

// Queues is how many receive queues an interface of the calling thread's
// network namespace has at this moment. A driver that knows no channels has one.
func Queues(name string) (int, error) {
	n, err := abi.ReceiveQueues(name)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("interface %s: number of receive queues: %w", name, err)
	}
	return max(n, 1), nil
}
