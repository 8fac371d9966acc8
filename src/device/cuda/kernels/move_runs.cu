// Moves runs of bytes: each from its own place to its own place, on the device or in page-locked memory of the host.
//
// Compiled at run time by NVRTC, ahead of time by make_ptx.py, and as C++ by the fake driver of the tests. So there is nothing in it
// but C, and no header.

// One row of the table, as `Move` in kernel.rs has it.
struct Move {
    unsigned long long from;
    unsigned long long to;
    unsigned long long bytes;
};

// Sixteen bytes in one load and one store.
struct __align__(16) Word16 {
    unsigned int a, b, c, d;
};

// Four loads are under way before the first store: the host's memory is far away.
template <typename Word>
__device__ static inline void move_words(unsigned long long from, unsigned long long to, unsigned long long count, unsigned int lane,
                                         unsigned int lanes) {
    const Word *source = (const Word *)from;
    Word *target = (Word *)to;
    unsigned long long i = lane;
    for (; i + 3ull * lanes < count; i += 4ull * lanes) {
        Word first = source[i], second = source[i + lanes], third = source[i + 2ull * lanes], fourth = source[i + 3ull * lanes];
        target[i] = first;
        target[i + lanes] = second;
        target[i + 2ull * lanes] = third;
        target[i + 3ull * lanes] = fourth;
    }
    for (; i < count; i += lanes) {
        target[i] = source[i];
    }
}

// Words as wide as both addresses allow; what does not fill one at either end goes by bytes.
template <typename Word>
__device__ static inline void move_one(const Move &move, unsigned int lane, unsigned int lanes) {
    unsigned long long head = (0ull - move.from) & (sizeof(Word) - 1);
    head = head < move.bytes ? head : move.bytes;
    unsigned long long words = (move.bytes - head) / sizeof(Word);
    unsigned long long tail = head + words * sizeof(Word);
    move_words<unsigned char>(move.from, move.to, head, lane, lanes);
    move_words<Word>(move.from + head, move.to + head, words, lane, lanes);
    move_words<unsigned char>(move.from + tail, move.to + tail, move.bytes - tail, lane, lanes);
}

// `lanes` threads, a power of two up to 256, make one row, and the next one of theirs after it. Rows that write the same bytes do so in
// any order.
extern "C" __global__ void lmcache_move_runs(const Move *moves, unsigned int count, unsigned int lanes) {
    unsigned int thread = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned int lane = thread % lanes;
    unsigned int groups = gridDim.x * blockDim.x / lanes;
    for (unsigned int row = thread / lanes; row < count; row += groups) {
        Move move = moves[row];
        unsigned long long apart = move.from ^ move.to;
        if (apart % sizeof(Word16) == 0) {
            move_one<Word16>(move, lane, lanes);
        } else if (apart % sizeof(unsigned int) == 0) {
            move_one<unsigned int>(move, lane, lanes);
        } else {
            move_one<unsigned char>(move, lane, lanes);
        }
    }
}
