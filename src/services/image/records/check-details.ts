/** How many tags and properties an image may have, and how long a property's name may be. */
import type { Image } from '#db/repo/image/images.ts';
import { CloudError } from '#domain/errors.ts';
import type { ImageLimits } from '../deps.ts';

const MAX_NAME = 255;

/** Throws 413 over a quota, as Glance does, and 400 for a name that cannot be one. */
export function checkDetails(image: Image, limits: ImageLimits): void {
  const names = Object.keys(image.properties);
  if (names.length > limits.maxProperties)
    throw new CloudError('tooLarge', { reason: `an image may have ${limits.maxProperties} properties` });
  if (image.tags.length > limits.maxTags)
    throw new CloudError('tooLarge', { reason: `an image may have ${limits.maxTags} tags` });
  for (const name of names) {
    if (name.length === 0 || name.length > MAX_NAME)
      throw new CloudError('badRequest', {
        reason: `Custom property should not be greater than ${MAX_NAME} characters.`,
      });
  }
}
