/* A trained pitch tracker (CREPE, tiny) as a C program: prints what note a sound is.
 *
 *   pitch              listens to tones that it makes itself
 *   pitch FILE.wav     listens to a WAV file (16-bit PCM, any rate, mono or stereo)
 *
 * The model takes frames of 1024 samples at 16 kHz, each with mean 0 and deviation 1, and gives 360 activations: bin b
 * stands for 1997.3794 + 20 b cents above 10 Hz. */
#include "crepe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 16000, FRAME = 1024, BINS = 360, HOP = 1600, MAX_FRAMES = 64 };

static const double PI = 3.14159265358979323846;

static void fail(const char *what) {
  fprintf(stderr, "pitch: %s\n", what);
  exit(1);
}

static unsigned little(const unsigned char *p, int bytes) {
  unsigned value = 0;
  for (int i = 0; i < bytes; i++) value |= (unsigned)p[i] << (8 * i);
  return value;
}

/* Reads a 16-bit PCM WAV file as mono at 16 kHz. */
static float *read_wav(const char *path, size_t *count) {
  FILE *file = fopen(path, "rb");
  if (!file) fail("cannot open the file");
  unsigned char head[12], chunk[8], format[16] = {0};
  if (fread(head, 1, 12, file) != 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4)) fail("not a WAV file");
  while (fread(chunk, 1, 8, file) == 8) {
    unsigned size = little(chunk + 4, 4);
    if (!memcmp(chunk, "fmt ", 4) && size >= 16) {
      if (fread(format, 1, 16, file) != 16) fail("the WAV file is cut short");
      fseek(file, (long)(size - 16 + size % 2), SEEK_CUR);
    } else if (!memcmp(chunk, "data", 4)) {
      unsigned channels = little(format + 2, 2), rate = little(format + 4, 4), bits = little(format + 14, 2);
      if (little(format, 2) != 1 || bits != 16 || channels < 1 || channels > 8 || rate < 1000)
        fail("only 16-bit PCM WAV files are read");
      unsigned char *data = malloc(size ? size : 1);
      if (!data) fail("out of memory");
      size_t frames = fread(data, 1, size, file) / (2 * channels);
      *count = (size_t)((double)frames * RATE / rate);
      float *samples = malloc((*count + 1) * sizeof *samples);
      if (!samples) fail("out of memory");
      for (size_t i = 0; i < *count; i++) {
        double at = (double)i * rate / RATE;
        size_t left = (size_t)at, right = left + 1 < frames ? left + 1 : left;
        double values[2] = {0, 0};
        for (unsigned c = 0; c < channels; c++) {
          values[0] += (short)little(data + 2 * (left * channels + c), 2);
          values[1] += (short)little(data + 2 * (right * channels + c), 2);
        }
        samples[i] = (float)((values[0] + (at - (double)left) * (values[1] - values[0])) / (32768.0 * channels));
      }
      free(data);
      fclose(file);
      return samples;
    } else {
      fseek(file, (long)(size + size % 2), SEEK_CUR);
    }
  }
  fail("the WAV file has no sound");
  return NULL;
}

/* The model's frequency for one frame: the mean of the bins around the strongest one, weighted by their activation. */
static double frequency(const float *bins, double *confidence) {
  int best = 0;
  for (int b = 1; b < BINS; b++)
    if (bins[b] > bins[best]) best = b;
  double sum = 0, weight = 0;
  for (int b = best - 4; b <= best + 4; b++) {
    if (b < 0 || b >= BINS) continue;
    sum += bins[b] * (1997.3794 + 20.0 * b);
    weight += bins[b];
  }
  *confidence = bins[best];
  return 10.0 * pow(2.0, sum / weight / 1200.0);
}

/* Runs the model on a sound, one frame every tenth of a second, and returns the median frequency. */
static double listen(crepe_context *context, const float *samples, size_t count, int verbose) {
  static float frames[MAX_FRAMES][FRAME], activations[MAX_FRAMES][BINS];
  double found[MAX_FRAMES];
  size_t n = 0;
  for (size_t start = 0; start + FRAME <= count && n < MAX_FRAMES; start += HOP, n++) {
    double mean = 0, square = 0;
    for (int i = 0; i < FRAME; i++) mean += samples[start + i] / FRAME;
    for (int i = 0; i < FRAME; i++) square += pow(samples[start + i] - mean, 2) / FRAME;
    double scale = 1.0 / (sqrt(square) > 1e-8 ? sqrt(square) : 1e-8);
    for (int i = 0; i < FRAME; i++) frames[n][i] = (float)((samples[start + i] - mean) * scale);
  }
  if (n == 0) fail("the sound is shorter than one frame (64 ms)");
  crepe_inputs inputs = crepe_inputs_default();
  inputs.x.data = &frames[0][0];
  inputs.x.shape[0] = (int64_t)n; /* any number of frames: the batch dimension is dynamic */
  crepe_outputs outputs = crepe_outputs_default();
  outputs.output.data = &activations[0][0];
  outputs.output.capacity = (int64_t)(n * BINS);
  if (crepe_run(context, &inputs, &outputs) != crepe_OK) fail(crepe_error(context));
  for (size_t f = 0; f < n; f++) {
    double confidence;
    found[f] = frequency(activations[f], &confidence);
    if (verbose) printf("%6.2f s  %8.2f Hz  confidence %.2f\n", (double)f * HOP / RATE, found[f], confidence);
  }
  for (size_t i = 1; i < n; i++)
    for (size_t j = i; j > 0 && found[j] < found[j - 1]; j--) {
      double swap = found[j];
      found[j] = found[j - 1];
      found[j - 1] = swap;
    }
  return found[n / 2];
}

int main(int argc, char **argv) {
  crepe_context *context;
  if (crepe_create(NULL, &context) != crepe_OK) fail(crepe_error(context));
  int wrong = 0;
  if (argc > 1) {
    size_t count;
    float *samples = read_wav(argv[1], &count);
    printf("median %.2f Hz\n", listen(context, samples, count, 1));
    free(samples);
  } else {
    static const double tones[] = {110.0, 261.63, 440.0, 659.26};
    static float samples[RATE];
    for (size_t t = 0; t < sizeof tones / sizeof *tones; t++) {
      /* A tone with two overtones, as an instrument has them. */
      for (int i = 0; i < RATE; i++) {
        double phase = 2 * PI * tones[t] * i / RATE;
        samples[i] = (float)(0.6 * sin(phase) + 0.25 * sin(2 * phase) + 0.15 * sin(3 * phase));
      }
      double heard = listen(context, samples, RATE, 0);
      double cents = 1200 * log(heard / tones[t]) / log(2);
      printf("played %7.2f Hz, heard %7.2f Hz (%+.1f cents)\n", tones[t], heard, cents);
      wrong |= fabs(cents) > 30;
    }
    puts(wrong ? "WRONG: a tone was heard more than 30 cents off" : "right: every tone within 30 cents");
  }
  crepe_destroy(context);
  return wrong;
}
