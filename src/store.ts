/**
 * `effect-deployer/store`: the store of releases, its tables and its tarballs.
 */

export {
  ReleaseAmbiguous,
  ReleaseNotFound,
  ReleaseStoreError,
  TarballDamaged,
  TarballMissing
} from "./store/failures.ts"
export {
  type Parcel,
  type ReleaseDraft,
  type ReleaseQuery,
  ReleaseStore,
  type StoreCheck,
  type StoreFailure
} from "./store/ReleaseStore.ts"
export { type Opened, type Received, Tarballs, TarballsError } from "./store/Tarballs.ts"
