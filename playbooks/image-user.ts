/** The numbers that an image runs its server as, and that its data belongs to. */
export interface ImageUser {
  readonly uid: string;
  readonly gid: string;
}

/** Whether an image is made from Alpine, whose packages number their users differently; its tag usually says so. */
function isAlpine(image: string): boolean {
  return image.includes('alpine') || /(?:^|\/)timescaledb(?:-ha)?[:@]/.test(image);
}

/** The user of the official PostgreSQL image and of those made from it. */
export function postgresUser(image: string): ImageUser {
  return isAlpine(image) ? { uid: '70', gid: '70' } : { uid: '999', gid: '999' };
}

/** The user of the official Redis image and of those made from it. */
export function redisUser(image: string): ImageUser {
  return isAlpine(image) ? { uid: '999', gid: '1000' } : { uid: '999', gid: '999' };
}

/** PgBouncer does not care who it is as long as it is not root; most images have this user. */
export const PGBOUNCER_USER: ImageUser = { uid: '70', gid: '70' };
